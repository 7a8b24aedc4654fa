"""Helpers for the course on graph neural networks and rotational equivariance.

Import the modules by name, as the notebooks do: ``from course_utils import graphs, message_passing``.
Nothing is loaded before it is asked for.
"""
