import pytest
import torch

from course_utils.microscope import check_equivariance
from course_utils.neighbors import radius_graph
from course_utils.symmetry import random_reflection, random_rotation


@pytest.fixture(scope="module")
def steerable(o3):
    """The module; it loads e3nn."""
    from course_utils import steerable

    return steerable


class Everything(torch.nn.Module):
    """A class, a vector and a tensor for each node."""

    def __init__(self, steerable, rounds):
        super().__init__()
        self.tensor_of_degree_2 = steerable.tensor_of_degree_2
        self.net = steerable.SteerableNetwork(3, 4, "2x0e + 1x1o + 1x2e", rounds, 2, r=3.0)

    def forward(self, h, x, edge_index):
        scalars, vector, tensor = self.net(h, x, edge_index).split([2, 3, 5], dim=1)
        return scalars, vector, self.tensor_of_degree_2(tensor)


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [1, 2])
def test_scalars_vectors_and_tensors_are_of_their_kind(steerable, rounds):
    report = check_equivariance(Everything(steerable, rounds), ["node scalar 3", "node position", "edge_index"],
                                ["node scalar", "node vector", "node tensor"])
    assert report.holds, report


def test_a_feature_of_degree_2_is_a_traceless_symmetric_tensor(steerable, o3):
    """As e3nn turns and mirrors it; and its length is that of the tensor."""
    t = torch.randn(7, 5, dtype=torch.float64)
    T = steerable.tensor_of_degree_2(t)
    torch.testing.assert_close(T, T.mT)
    torch.testing.assert_close(T.diagonal(dim1=1, dim2=2).sum(1), torch.zeros(7, dtype=torch.float64))
    torch.testing.assert_close(T.square().sum((1, 2)), t.square().sum(1))
    generator = torch.Generator().manual_seed(0)
    for draw in (random_rotation, random_reflection):
        R = draw((), generator, torch.float64)
        D = o3.Irrep("2e").D_from_matrix(R)
        torch.testing.assert_close(steerable.tensor_of_degree_2(t @ D.T), R @ T @ R.T, atol=1e-5, rtol=0)  # e3nn's digits


def test_messages_are_what_the_equation_says(steerable, o3):
    """One round by a loop over the edges, with e3nn's tensor product of one edge at a time."""
    layer = steerable.SteerableLayer(steerable.natural(2, 1), steerable.natural(2, 1), 1, 4, neighbours=9.0).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    v, u = edge_index = radius_graph(x, 2.0)
    f, radial = torch.randn(5, 8, dtype=torch.float64), torch.rand(len(v), 4, dtype=torch.float64)
    Y = o3.spherical_harmonics([0, 1], x[u] - x[v], normalize=True, normalization="component")
    inbox = torch.zeros(5, layer.product.irreps_out.dim, dtype=torch.float64)
    for e in range(len(v)):
        inbox[u[e]] += layer.product(f[v[e], None], Y[e, None], layer.radial(radial[e, None]))[0]
    torch.testing.assert_close(layer(f, edge_index, Y, radial), layer.gate(layer.stay(f) + layer.mix(inbox / 3)))


def test_graphs_without_edges(steerable):
    net = Everything(steerable, 2)
    for n in (0, 1, 3):
        out = net(torch.randn(n, 3), torch.randn(n, 3), torch.zeros(2, 0, dtype=torch.int64))
        assert [tuple(part.shape) for part in out] == [(n, 2), (n, 3), (n, 3, 3)]
        assert all(part.isfinite().all() for part in out)


def test_names_of_features(steerable):
    assert str(steerable.natural(8, 2)) == "8x0e+8x1o+8x2e"


def test_scalars_alone(steerable):
    """l_max = 0: nothing to gate."""
    network = steerable.SteerableNetwork(3, 4, "2x0e", 2, 0, r=3.0)
    report = check_equivariance(network, ["node scalar 3", "node position", "edge_index"], "node scalar")
    assert report.holds, report


@pytest.mark.parametrize(("l_max", "irreps_out", "missing"), [(1, "1x0e + 1x1e", "1e"), (1, "2x2e", "2e"), (0, "1x1o", "1o"),
                                                              (2, "1x0o", "0o")])
def test_features_that_are_not_there_are_not_answered_with_0(steerable, l_max, irreps_out, missing):
    with pytest.raises(ValueError, match=f"no {missing} can be made from .*; expected degrees up to l_max"):
        steerable.SteerableNetwork(3, 4, irreps_out, 2, l_max, r=3.0)


def test_a_layer_and_a_network_without_rounds_say_what_they_cannot(steerable, o3):
    with pytest.raises(ValueError, match="no 1e can be made from"):
        steerable.SteerableLayer(o3.Irreps("2x0e"), o3.Irreps("2x0e + 1x1e"), 2, 4, 8.0)
    with pytest.raises(ValueError, match="rounds is 0; expected 1 or more"):
        steerable.SteerableNetwork(3, 4, "1x0e", 0, 1, r=3.0)
