"""Masters to students' notebooks (`build`)."""
