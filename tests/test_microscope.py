"""The microscope on functions whose symmetry is known: planted faults must be found and named, honest functions must pass."""

import pytest
import torch
from torch import nn

from course_utils import egnn, frames, gvp, neighbors, symmetry
from course_utils.message_passing import aggregate
from course_utils.microscope import check_equivariance, irreps
from course_utils.systems import untrained

GEOMETRIC = ["node scalar 4", "node position", "edge_index"]


def messages(h, x, edge_index):
    """An honest layer: a sum of displacements, weighted by invariants."""
    v, u = edge_index
    d = x[u] - x[v]
    w = torch.tanh(h[u, :1] * h[v, :1] + d.square().sum(1, keepdim=True))
    return x + aggregate(w * d, u, len(x))


def degree_2(v):
    """The harmonics of degree 2 in e3nn's order, written out."""
    x, y, z = v.unbind(-1)
    return torch.stack([3**0.5 * x * z, 3**0.5 * x * y, y * y - (x * x + z * z) / 2, 3**0.5 * y * z,
                        3**0.5 / 2 * (z * z - x * x)], dim=-1)


# --- planted faults: (name, f, inputs, outputs, the tests that fail, what is said of it) -----------------------------

FAULTS = []


def fault(inputs, outputs, fails, says):
    def plant(f):
        FAULTS.append(pytest.param(f, inputs, outputs, set(fails.split()), says, id=f.__name__))
        return f
    return plant


@fault(["node vector 2", "edge_index", "edge scalar 3"], "node vector", "rotation reflection", "passed as scalars")
def a_forgotten_edge_vector(V, edge_index, direction):
    v, u = edge_index
    return aggregate(V[v].sum(1) + direction, u, len(V))


@fault(["node vector", "node vector"], "node vector", "reflection", "the output is a pseudovector")
def a_cross_product_called_a_vector(a, b):
    return torch.linalg.cross(a, b)


@fault(["node vector", "node vector"], "node vector", "reflection", "either a cross product is added to or multiplied with a vector")
def a_cross_product_added_to_a_vector(a, b):
    return a + torch.linalg.cross(a, b)


@fault(GEOMETRIC, "node position", "translation", "absolute positions enter")
def absolute_positions(h, x, edge_index):
    v, u = edge_index
    return x + aggregate((x[u] - x[v]) * torch.tanh((x[u] * x[v]).sum(1, keepdim=True)), u, len(x))


@fault(["node vector 2"], "node vector", "rotation reflection", "Are they y, z, x, where x, y, z is expected?")
def a_wrong_axis_order(V):
    return V.sum(1)[:, [1, 2, 0]] * symmetry.act("scalar", None, None, V.square().sum((1, 2)))[:, None]


@fault(["node scalar 4", "edge_index"], "node scalar", "permutation", "nodes are updated in place")
def an_in_place_update(h, edge_index):
    h = h.clone()
    for u in range(len(h)):
        h[u] = torch.tanh(h[u] + h[edge_index[0, edge_index[1] == u]].sum(0))
    return h


@fault(["node scalar 4", "edge_index", "batch"], "node scalar", "batching", "sorted over all nodes, without batch")
def a_sum_over_nodes_that_ignores_batch(h, edge_index, batch):
    return h - h.mean(0)


@fault(GEOMETRIC, "node scalar", "finite", "and not in float32 on wide input")
def a_float32_overflow(h, x, edge_index):
    v, u = edge_index
    weight = torch.exp(3 * neighbors.distances(x, edge_index))
    return aggregate(weight[:, None] * h[v], u, len(h)) / aggregate(weight, u, len(h)).clamp(min=1e-30)[:, None]


@fault(["node scalar 4", "edge_index"], "node scalar", "permutation", "without any edge too")
def an_ordering_by_index(h, edge_index):
    return h + 0.1 * torch.arange(len(h))[:, None]


@fault(["node scalar 3", "node vector 2"], ["node scalar", "node vector"], "rotation reflection", "Is it a bias, or")
class a_bias_on_vectors(nn.Module):  # noqa: N801  named as the other faults are
    def __init__(self):
        super().__init__()
        self.gvp, self.b = gvp.GVP(3, 2, 4, 5), nn.Parameter(torch.ones(5, 3))

    def forward(self, s, V):
        s, V = self.gvp(s, V)
        return s, V + self.b


@fault(GEOMETRIC, "node scalar", "gradient", "no gradient arrives")
def a_detached_coordinate(h, x, edge_index):
    v, u = edge_index
    return h + aggregate((x[u] - x[v]).square().sum(1, keepdim=True).detach() * h[v], u, len(h))


@fault(GEOMETRIC, "node position", "gradient", "a part of the way is cut")
def a_half_detached_coordinate(h, x, edge_index):
    return messages(h, x.detach(), edge_index) + x - x.detach()


@fault(["node scalar 4", "edge_index"], "node scalar", "permutation gradient", "M[u] = ... or M[u] += ...")
def messages_that_overwrite(h, edge_index):
    v, u = edge_index
    M = torch.zeros_like(h)
    M[u] += h[v]
    return M


@fault("node position", "graph vector", "translation", "it is a position, not a vector")
def a_position_called_a_vector(x):
    return x.mean(0)


@fault(GEOMETRIC, "node position", "translation", "it is a vector, not a position")
def a_forgotten_x(h, x, edge_index):
    return messages(h, x, edge_index) - x


@fault("node vector 3", "node vector", "rotation reflection", "a nonlinearity acts on the components")
def a_relu_on_components(V):
    return torch.relu(V)


@fault(["node vector 3"], "node vector", "rotation reflection", "rotations about z only")
def a_fixed_direction(V):
    return V.sum(1) * V.sum(1)[:, 2:]


@fault(["node vector 3"], "node scalar", "rotation reflection", "either each has weights of its own")
def a_linear_map_over_components(V):
    return V.flatten(1) @ torch.linspace(-1, 1, 9, dtype=V.dtype)


@fault(["node position", "edge_index"], "node vector", "finite gradient", "not finite on coincident input. Is something divided by 0")
def a_direction_between_coincident_points(x, edge_index):
    v, u = edge_index
    d = x[u] - x[v]
    return aggregate(d / d.square().sum(1, keepdim=True).sqrt(), u, len(x))


@fault(["node position", "edge_index"], "node scalar", "gradient", "the derivative is not finite on coincident input")
def a_distance_without_care(x, edge_index):
    v, u = edge_index
    return aggregate((x[u] - x[v]).square().sum(1).sqrt(), u, len(x))


@fault(["node position"], "graph scalar", "translation", "float32 loses its digits")
def a_difference_of_large_numbers(x):
    return (x.square().sum(1)).mean() - x.mean(0).square().sum()


@fault(["node vector", "node vector", "node vector"], "node scalar", "reflection", "the output is a pseudoscalar")
def a_triple_product_called_a_scalar(a, b, c):
    return (a * torch.linalg.cross(b, c)).sum(1)


@fault(["node position", "edge_index"], "node position", "rotation reflection gradient", "a .float() inside")
def a_float_inside(x, edge_index):
    v, u = edge_index
    return x + aggregate((x[u] - x[v]).float().to(x.dtype), u, len(x))


@fault("node vector 2", "node scalar", "rotation reflection", "the components are summed or averaged")
def a_sum_of_components(V):
    return V.sum((1, 2))


@fault(["node scalar", "node vector"], "node vector", "rotation reflection", "scalars are added to components")
def a_scalar_added_to_components(h, V):
    return V + h[:, None]


@fault(["node position"], "node vector", "rotation reflection gradient", "Is the way back from a frame missing?")
def a_forgotten_turn_back(x):
    return frames.canonicalize(x)[0].square()


@fault("node scalar", "graph scalar", "permutation", "of 10 nodes, wrong on collinear input, of 9")
def an_odd_node_left_out(h):
    return h[: len(h) // 2 * 2].sum(0)


@fault(["node scalar 3", "batch"], "node scalar", "batching", "either the number of all nodes or graphs is used")
def a_division_by_the_number_of_all_nodes(h, batch):
    return h * aggregate(h, batch, int(batch[-1]) + 1)[batch] / len(h)


# --- crowds, other kinds, complex numbers, small channels -----------------------------------------------------------

@fault("node position", "node position", "permutation", "exact on clouds of up to 16 nodes, wrong from 17 on")
def a_mean_over_sixteen_nodes(x):
    return x + x[:16].mean(0) - x.mean(0)


@fault("node position", "node scalar", "translation", "From 26 points on torch.cdist takes a matrix product")
def a_matrix_product_of_cdist(x):
    return torch.cdist(x, x).sort(1).values[:, :1] + (x - x.mean(0)).square().sum(1, keepdim=True)


@fault("node vector", "node 2o", "reflection", "the output is a 2e")
def a_tensor_of_the_wrong_parity(v):
    return degree_2(v)


@fault("node vector", "node 1o", "rotation reflection", "Are they y, z, x, where x, y, z is expected?")
def the_order_of_the_lecture(v):
    return v[:, [1, 2, 0]]


@fault("node vector", "node scalar", "rotation reflection", "exact for rotations about x only")
def a_broken_imaginary_part(v):
    return torch.complex(v.square().sum(1), v[:, 0])


@fault("node vector", "node vector 2", "rotation reflection", "a nonlinearity acts on the components")
def a_small_broken_channel_beside_a_large_one(v):
    return torch.stack([1e6 * v, 1e-3 * torch.relu(v)], dim=1)


@fault("node vector", "node 8x0e + 1o", "rotation reflection", "")
def a_small_broken_feature_beside_large_ones(v):
    return torch.cat([1e6 * v.square().sum(1, keepdim=True).expand(-1, 8), 1e-3 * torch.relu(v)], dim=1)


@fault("node position", "graph vector", "rotation reflection gradient", "either the sign of an eigenvector")
def an_eigenvector_with_its_sign(x):
    return torch.linalg.eigh(frames.covariance(x)).eigenvectors[:, 2]


@fault("node vector", "node scalar 3", "rotation reflection", "it is a vector, not three scalars")
def a_vector_called_three_scalars(v):
    return 2 * v


@fault("node vector 2", "node vector", "rotation reflection", "rotations about 0.33, 0.67, 0.67 only")
def a_fixed_direction_off_the_axes(V):
    u = V.new_tensor([1, 2, 2]) / 3
    return V.sum(1) * (V.sum(1) @ u)[:, None]


@fault("node vector", "node vector", "rotation reflection", "exact for rotations about z only")
def a_fixed_direction_that_matters_little(v):
    return v * (1 + 1e-7 * v[:, 2:])


@fault("node position", "node vector", "rotation reflection", "exact for small rotations, not for large ones")
def a_choice_by_a_coordinate(x):
    return (x - x.mean(0)) - (x - x.mean(0))[x[:, 2].argmax()]


@pytest.mark.parametrize(("f", "inputs", "outputs", "fails", "says"), FAULTS)
def test_planted_faults_are_found_and_named(f, inputs, outputs, fails, says):
    for seed in range(2):
        report = check_equivariance(f() if isinstance(f, type) else f, inputs, outputs, seed)
        assert {row.test for row in report.rows if row.verdict == "fails"} == fails, report
        assert any(says in row.cause for row in report.rows), report
        assert not report.holds and says in repr(report)


# --- honest functions -------------------------------------------------------------------------------------------------

torch.manual_seed(0)


def forces(x, edge_index):
    x = x if x.requires_grad else x.clone().requires_grad_()
    energy = torch.exp(-neighbors.distances(x, edge_index)).sum()
    return energy, -torch.autograd.grad(energy, x, create_graph=True)[0]


def lennard_jones(x):
    v, u = neighbors.all_pairs(len(x))
    r2 = (x[u] - x[v]).square().sum(1) + 0.01
    return (r2**-6 - r2**-3).sum()


HONEST = {
    "forces by autograd": (forces, ["node position", "edge_index"], ["graph scalar", "node vector"]),
    "a steep energy": (lennard_jones, "node position", "graph scalar"),
    "degree": (lambda h, e: h + torch.bincount(e[1], minlength=len(h)), ["node scalar", "edge_index"], "node scalar"),
    "largest feature": (lambda h: h.max(0).values, "node scalar 2", "graph scalar"),
    "diameter": (lambda x: (x[:, None] - x).square().sum(-1).max(), "node position", "graph scalar"),
    "a count of neighbors": (lambda x: x + ((x[:, None] - x).norm(dim=2) < 2).sum(1, keepdim=True) * (x - x.mean(0)),
                             "node position", "node position"),
    "which hand": (lambda a, b, c: (a * torch.linalg.cross(b, c)).sum(1).sign(), ["node vector"] * 3, "node pseudoscalar"),
    "twice a pseudoscalar": (lambda p: 2 * p, "node pseudoscalar", "node pseudoscalar"),
    "a factor of the graph": (lambda h, q: h * q, ["node scalar 2", "graph scalar"], "node scalar"),
    "a strain made symmetric": (lambda T: torch.linalg.eigvalsh(T + T.mT).sum(1), "node tensor", "node scalar"),
    "deep": (egnn.EGNN(4, 8, 2, 4, reduce="mean", normalize=True, attention=True),
             [*GEOMETRIC, "batch"], ["graph scalar", "node position"]),
    "displacements of a layer": (messages, GEOMETRIC, "node position"),
    "cross product": (torch.linalg.cross, ["node vector", "node vector"], "node pseudovector"),
    "triple product": (lambda a, b, c: (a * torch.linalg.cross(b, c)).sum(-1), ["node vector 2"] * 3, "node pseudoscalar"),
    "two cross products": (lambda a, b: torch.linalg.cross(a, torch.linalg.cross(a, b)), ["node vector"] * 2, "node vector"),
    "covariance": (frames.covariance, ["node position", "batch"], "graph tensor"),
    "centroid": (frames.centroid, "node position", "graph position"),
    "edge vectors": (neighbors.displacements, ["node position", "edge_index"], "edge vector"),
    "distances": (neighbors.distances, ["node position", "edge_index"], "edge scalar"),
    "stress of edges": (lambda x, e, f: neighbors.displacements(x, e)[:, :, None] * f[:, None, :],
                        ["node position", "edge_index", "edge vector"], "edge tensor"),
    "EGNN layer": (egnn.EGNNLayer(4, 8), [*GEOMETRIC, "batch"], ["node scalar", "node position"]),
    "GVP": (gvp.GVP(3, 2, 5, 4), ["node scalar 3", "node vector 2"], ["node scalar", "node vector"]),
}


@pytest.mark.parametrize(("f", "inputs", "outputs"), HONEST.values(), ids=HONEST)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_honest_functions_pass(f, inputs, outputs, seed):
    report = check_equivariance(f, inputs, outputs, seed)
    assert report.holds, report
    assert "cause" not in repr(report) and not report.faults


def averaged(f, kind):
    return lambda x: frames.frame_average(f, x, kind, reflections=True)


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize(("f", "kind", "output"), [(untrained.dipole, "vector", "graph vector"),
                                                   (untrained.charges, "scalar", "node scalar")])
def test_a_frame_that_is_hard_to_find_in_float32_is_no_violation(f, kind, output, seed):
    """Two variances may be close by chance; rounding the input then rotates the frame."""
    report = check_equivariance(averaged(f, kind), "node position", output, seed)
    failing = {row.test for row in report.rows if row.verdict == "fails"}
    assert failing == {"gradient"}, report  # of one point, which has no frame
    assert "one point" in report["gradient"].cause


def test_a_jump_everywhere_is_not_explained_by_rounding():
    report = check_equivariance(lambda x: (1e15 * x[:, 0]).round() % 2, "node position", "node scalar")
    assert report["rotation"].verdict == "fails", report


def test_channels_that_are_rounding_are_no_violation():
    def f(x):
        centered = x - x.mean(0)
        nothing = centered.mean(0).norm().expand(len(x))
        return torch.stack([1e6 * centered.square().sum(1), nothing, centered.norm(dim=1)], dim=1)

    for seed in range(2):
        report = check_equivariance(f, "node position", "node scalar", seed)
        assert {row.verdict for row in report.rows if row.test != "gradient"} == {"holds"}, report


@pytest.mark.filterwarnings("error")
def test_complex_outputs_keep_both_parts():
    report = check_equivariance(lambda v: torch.complex(v, 2 * v), "node vector", "node vector")
    assert report.holds, report
    phase = check_equivariance(lambda x, y: torch.complex(x, y.detach()), ["node scalar"] * 2, "node scalar")
    assert phase["gradient"].verdict == "fails" and "changes no output" not in repr(phase)


def odd_at_seven(x):
    return x * (1 + (len(x) == 7) * x[:, :1])


def test_your_own_examples_are_tried_beside_the_drawn_ones():
    assert check_equivariance(odd_at_seven, "node position", "node vector")["rotation"].verdict == "holds"
    report = check_equivariance(odd_at_seven, "node position", "node vector",
                                examples=[(torch.randn(5, 3),), (torch.randn(7, 3),)])
    assert report["rotation"].verdict == "fails", report
    assert report["rotation"].worst[torch.float64][1] == "example 1", report
    assert "wrong on example 1 input, of 7" in report["rotation"].cause


@pytest.mark.parametrize("scale", [1e-9, 1e6])
def test_examples_come_in_any_unit_and_with_a_graph(scale):
    def f(x, edge_index, batch):
        v, u = edge_index
        return frames.centre(x, batch) + aggregate(x[u] - x[v], u, len(x))

    edge_index, batch = torch.tensor([[0, 1, 2, 4], [1, 2, 0, 5]]), torch.tensor([0, 0, 0, 1, 1, 1])
    report = check_equivariance(f, ["node position", "edge_index", "batch"], "node vector",
                                examples=[(scale * torch.randn(6, 3), edge_index, batch)])
    assert report.holds, report
    assert not any("example" in remark for remark in report.remarks), report


@pytest.mark.parametrize(("example", "says"), [
    ((torch.zeros(4, 3), torch.zeros(2, 0)), "example 0 has 2 values; expected 1: node position"),
    ((torch.zeros(4, 2),), r"a node position of example 0 has shape \(4, 2\); expected \(4, 3\)"),
    ((torch.full((4, 3), torch.nan),), "numbers that are not finite"),
])
def test_examples_of_another_shape_are_explained(example, says):
    with pytest.raises(ValueError, match=says):
        check_equivariance(lambda x: x, "node position", "node position", examples=[example])


def test_what_f_raises_on_your_example_is_passed_on():
    def f(x):
        if len(x) == 3:
            raise ZeroDivisionError
        return x

    with pytest.raises(ZeroDivisionError) as error:
        check_equivariance(f, "node position", "node position", examples=[(torch.randn(3, 3),)])
    assert "on example 0 input" in error.value.__notes__[0]


@pytest.mark.parametrize("l", range(5))
def test_features_move_as_in_e3nn(o3, l):
    v, R = torch.randn(6, 3, dtype=torch.float64), symmetry.random_reflection((), None, torch.float64)
    expected = o3.spherical_harmonics(l, v, normalize=True, normalization="norm")
    torch.testing.assert_close(irreps.harmonics(l, v / v.norm(dim=1, keepdim=True)), expected, atol=1e-6, rtol=0)
    for parity in (1, -1):
        for motion in (R, -R):
            D = o3.Irrep(l, parity).D_from_matrix(motion)
            torch.testing.assert_close(irreps.matrix(l, parity, motion), D, atol=1e-5, rtol=0)  # e3nn's digits


@pytest.mark.parametrize(("inputs", "outputs", "f"), [
    ("node vector", "node 2e", degree_2),
    ("node 1o + 0e", "node 0e + 1o", lambda z: z[:, [3, 0, 1, 2]]),
    (["node 3o 2", "graph 0o"], "node 3e", lambda z, p: z.sum(1) * p),
    (["node 1e", "node 1o"], "node vector", torch.linalg.cross),
])
def test_any_kind_that_e3nn_has(inputs, outputs, f):
    report = check_equivariance(f, inputs, outputs)
    assert report.holds and {"rotation", "reflection"} <= {row.test for row in report.rows}, report


def test_of_what_gives_two_answers_there_is_no_gradient():
    report = check_equivariance(nn.Dropout(0.5), "node vector", "node vector")
    assert not report.holds and "two answers to the same input" in repr(report)
    assert "detach" not in repr(report) and not any(row.cause for row in report.rows)
    assert "jumps" not in repr(report)


def test_a_threshold_that_a_shift_crosses_is_no_cross_product():
    def f(x):
        return (x - x.mean(0)) * (1 + (x[:, 0].max() > 2.5))

    for seed in range(2):
        report = check_equivariance(f, "node position", "node vector", seed)
        assert not report.holds and "cross product" not in repr(report), report
        assert "a comparison looks at what the motion changes" in report["translation"].cause


def test_a_rare_dropout_is_seen_before_a_cause_is_named():
    report = check_equivariance(nn.Dropout(0.02), "node scalar", "node scalar")
    assert "two answers" in repr(report) and "detach" not in repr(report)


def test_a_control_that_does_not_fail_makes_a_result_worthless():
    report = check_equivariance(lambda h, x: torch.tanh(h), ["node scalar 4", "node position"], "node scalar")
    assert {row.test: row.verdict for row in report.rows} == {
        "permutation": "holds", "translation": "blind", "rotation": "blind", "reflection": "blind", "gradient": "holds"}
    assert not report.holds


def test_a_change_of_the_input_is_a_fault_of_its_own():
    def f(x):
        x -= x.mean(0)
        return x

    report = check_equivariance(f, "node position", "node vector")
    assert all(row.verdict == "holds" for row in report.rows if row.test != "gradient") and not report.holds
    assert "f changes its input 0 in place" in repr(report)


def test_dropout_is_seen_and_eval_mends_it():
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5))
    assert "two answers to the same input" in repr(check_equivariance(net, "node scalar 4", "node scalar"))
    assert check_equivariance(net.eval(), "node scalar 4", "node scalar").holds


def test_jumps_on_degenerate_input_and_refusals_are_remarked_and_not_counted():
    def nearest(x):
        v, u = neighbors.knn_graph(x, 2)
        return aggregate(x[u] - x[v], u, len(x))

    report = check_equivariance(nearest, "node position", "node vector")
    assert report.holds
    assert "jumps on symmetric input" in repr(report) and "one point: ValueError: k is 2" in repr(report)


def test_an_empty_inbox_that_is_divided_by_zero_is_called_that():
    report = check_equivariance(lambda h, e: aggregate(h[e[0]], e[1], len(h)) / torch.bincount(e[1], minlength=len(h))[:, None],
                                ["node scalar 2", "edge_index"], "node scalar")
    assert report["permutation"].verdict == "holds" and not report.faults
    assert report["finite"].worst[torch.float64][1] == "generic" and "a number of neighbors" in report["finite"].cause


def test_an_output_that_cancels_is_no_result():
    report = check_equivariance(lambda x: (x - x.mean(0)).mean(0), "node position", "graph vector")
    assert {row.verdict for row in report.rows} == {"blind"} and "output 0 is 0 but for rounding" in repr(report)


def test_a_graph_with_nodes_that_no_edge_names():
    with pytest.raises(ValueError, match=r"output 0 has shape \(9, 2\); expected a node scalar, \(10,\)"):
        check_equivariance(lambda h, e: aggregate(h[e[0]], e[1], int(e.max()) + 1), ["node scalar 2", "edge_index"], "node scalar")


@pytest.mark.parametrize("f", [lambda x: torch.from_numpy(x.numpy() - x.numpy().mean(0)),
                               lambda x: torch.tensor((x - x.mean(0)).detach().numpy())])
def test_numpy_inside_is_found_by_the_gradient(f):
    report = check_equivariance(f, "node position", "node vector")
    assert report["rotation"].verdict == "holds" and report["gradient"].verdict == "fails"


def test_a_refusal_on_moved_or_lonely_input_is_remarked():
    report = check_equivariance(nn.BatchNorm1d(4), "node scalar 4", "node scalar")
    assert "one point: ValueError: Expected more than 1 value per channel" in repr(report)
    inverse = check_equivariance(lambda x: torch.linalg.inv(frames.covariance(x)), "node position", "graph tensor")
    assert inverse["rotation"].verdict == "holds" and "LinAlgError" in repr(inverse)


def test_a_function_of_a_fixed_dtype_is_told_what_to_do():
    net = nn.Linear(4, 2)
    with pytest.raises(RuntimeError) as error:
        check_equivariance(lambda h: net(h), "node scalar 4", "node scalar")
    assert "Hand over a module itself" in error.value.__notes__[0]


def test_a_jump_on_generic_input_is_counted():
    assert check_equivariance(lambda x: (x - x[:1]).round(), "node position", "node vector")["rotation"].verdict == "fails"


def test_the_violation_is_relative_to_the_output_and_its_input_is_named():
    def f(x):
        centred = x - x.mean(0)
        planar = torch.linalg.svdvals(centred)[-1] < 1e-6
        return 1e6 * centred.square().sum() + (1e3 * x[0, 0] if planar and len(x) > 1 else 0)

    row = check_equivariance(f, "node position", "graph scalar")["rotation"]
    size, case = row.worst[torch.float64]
    assert case in ("planar", "collinear") and 1e-6 < size < 1e-1 and case in row.cause


def test_a_module_is_copied_and_left_as_it_was():
    net = gvp.GVP(3, 2, 5, 4)
    check_equivariance(net, ["node scalar 3", "node vector 2"], ["node scalar", "node vector"])
    assert all(p.dtype == torch.float32 and p.grad is None for p in net.parameters())
    assert torch.get_default_dtype() == torch.float32


def test_what_f_raises_on_generic_input_is_passed_on():
    with pytest.raises(ZeroDivisionError):
        check_equivariance(lambda x: 1 // 0, "node position", "node vector")


@pytest.mark.parametrize(("inputs", "outputs", "says"), [
    ("node", "node vector", "'node' is no quantity"),
    ("node spinor", "node vector", "kind is 'spinor'; expected one of scalar"),
    ("node 2q", "node vector", "kind is '2q'; expected one of scalar.* or features as e3nn writes them, such as \"2e\""),
    ("node 1/2e", "node vector", "kind is '1/2e'"),
    ("node vector", "node 2e", r"output 0 has shape \(10, 3\); expected a node 2e, \(10, 5\)"),
    ("atom vector", "node vector", "'atom vector' is no quantity"),
    ("node vector", "node tensor", r"output 0 has shape \(10, 3\); expected a node tensor, \(10, 3, 3\)"),
    ("node vector", ["node vector", "node scalar"], "f returned 1 outputs; expected 2: node vector, node scalar"),
    ("node vector", "edge_index", "outputs are quantities"),
    ("node vector", "node vector 2", r"output 0 has shape \(10, 3\); expected a node vector, \(10, 2, 3\)"),
])
def test_bad_descriptions_are_explained(inputs, outputs, says):
    with pytest.raises(ValueError, match=says):
        check_equivariance(lambda v: v, inputs, outputs)


def test_report_is_found_by_test():
    report = check_equivariance(torch.linalg.cross, ["node vector", "node vector"], "node vector")
    assert report["reflection"].verdict == "fails" and report["rotation"].verdict == "holds"
    with pytest.raises(KeyError, match="there are rows for permutation, rotation, reflection, gradient"):
        report["translation"]
