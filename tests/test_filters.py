"""Filter banks against Kymatio 0.3.0, and the identities that the rest of the library rests on."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from kymatio.scattering2d import filter_bank as kymatio
from kymatio.scattering2d.utils import compute_padding
from scipy.fft import fft2

from scatcuda import banks
from scatcuda.banks import lowpass, morlet
from scatcuda.banks.packing import banded
from scatcuda.program import arrays, plan

# Padded shapes with 2^J dividing them: non-square, prime factors 3, 5, 7, 11, filters wider than
# the plane (8 with J = 3, where the five summed periods cut the low-pass), extreme L.
BANKS = [
    ((8, 8), 3, 8),
    ((6, 10), 1, 1),
    ((12, 20), 2, 2),
    ((24, 56), 3, 7),
    ((44, 36), 2, 16),
    ((40, 40), 2, 8),
    ((64, 64), 5, 4),
    ((64, 64), 6, 3),
    ((96, 88), 3, 8),
]


@pytest.mark.parametrize(("shape", "J", "L"), BANKS)
def test_morlet_bank_matches_kymatio(shape, J, L):
    """Kymatio computes in single precision: its own rounding is up to 3e-7."""
    expected = kymatio.filter_bank(*shape, J, L)
    bank = banks.morlet_bank(shape, J, L)
    assert (bank.J, bank.L, bank.shape) == (J, L, shape)
    assert bank.psi.dtype == bank.phi.dtype == torch.float64
    assert len(expected["psi"]) == J * L
    for n, psi in enumerate(expected["psi"]):
        assert (psi["j"], psi["theta"]) == divmod(n, L)
        for res, level in enumerate(psi["levels"]):
            ours = banks.crop(bank.psi[psi["j"], psi["theta"]], res).numpy()
            np.testing.assert_allclose(ours, level, rtol=0, atol=1e-6)
    for res, level in enumerate(expected["phi"]["levels"]):
        np.testing.assert_allclose(banks.crop(bank.phi, res).numpy(), level, rtol=0, atol=1e-6)


@pytest.mark.parametrize("L", [1, 2, 3, 8, 16])
@pytest.mark.parametrize("shape", [(7, 7), (1, 5), (9, 13), (8, 32), (37, 31)])
def test_one_wavelet_of_any_size_matches_kymatio(shape, L):
    """Sizes that no bank has, so that envelopes meet the edges of the summed periods anywhere."""
    for j in range(6):
        for theta in {0, L // 2, L - 1}:
            angle = (int(L - L / 2 - 1) - theta) * math.pi / L
            arguments = 0.8 * 2**j, angle, 0.75 * math.pi / 2**j, 4 / L
            expected = fft2(kymatio.morlet_2d(*shape, *arguments)).real
            ours = morlet._morlet(shape, *arguments)
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


def test_wavelets_have_mean_zero():
    for bank in (banks.morlet_bank((48, 40), 3), banks.tight_bank((48, 40), 3)):
        assert torch.count_nonzero(bank.psi[..., 0, 0]) == 0


def test_quarter_turn_is_a_shift_of_angles():
    psi = banks.morlet_bank((40, 40), 2).psi
    turned = psi[:, 4:].flip(-1).roll(1, -1).transpose(-1, -2)  # [p, q] = psi[q, -p]
    torch.testing.assert_close(turned, psi[:, :4], rtol=0, atol=1e-14)


@pytest.mark.parametrize("J", [2, 3, 4])
def test_frame_bounds_of_morlet(J):
    low, high = banks.frame_bounds(banks.morlet_bank((144, 144), J))
    assert low == pytest.approx(0.123, abs=5e-4)
    assert 1 < high < 1.05


@pytest.mark.parametrize("L", range(2, 17))
@pytest.mark.parametrize(("shape", "J"), [((8, 8), 3), ((6, 10), 1), ((40, 44), 2), ((96, 64), 4)])
def test_tight_bank_is_tight(shape, J, L):
    bank, morlet = banks.tight_bank(shape, J, L), banks.morlet_bank(shape, J, L)
    energy = banks.littlewood_paley(bank)
    torch.testing.assert_close(energy, torch.ones_like(energy), rtol=0, atol=1e-12)
    assert bank.phi[0, 0] == 1
    torch.testing.assert_close(bank.phi * morlet.phi[0, 0], morlet.phi, rtol=1e-14, atol=0)
    banks.separable_factors(bank.phi)
    # One real gain for all wavelets of a frequency, in the documented range.
    gain = (bank.psi.square().sum((0, 1)) / morlet.psi.square().sum((0, 1))).sqrt()
    torch.testing.assert_close(morlet.psi * gain.nan_to_num(), bank.psi, rtol=0, atol=1e-12)
    assert gain.nan_to_num(1).min() > 0.9
    assert gain.nan_to_num(1).max() < 5.2


def test_gain_of_tight_bank_is_smooth_down_to_zero():
    """Next to frequency 0, a ratio of two vanishing energies, the gain stays near one."""
    bank, morlet = banks.tight_bank((192, 192), 2), banks.morlet_bank((192, 192), 2)
    psi, tight = morlet.psi[1, 3], bank.psi[1, 3]
    near = (tight / psi)[1:3, 1:3]
    assert near.min() > 0.9
    assert near.max() < 1.5
    assert near.max() / near.min() < 1.01


@pytest.mark.parametrize(("shape", "J"), [((40, 40), 2), ((6, 10), 1), ((64, 64), 4)])
def test_tight_bank_needs_two_angles(shape, J):
    with pytest.raises(ValueError, match=r"tight_bank: L must .*2 or more.*got 1"):
        banks.tight_bank(shape, J, L=1)


def test_littlewood_paley_is_its_definition():
    g = torch.Generator().manual_seed(0)
    bank = banks.FilterBank(torch.randn(2, 3, 12, 8, generator=g), torch.randn(12, 8, generator=g))
    energy = banks.littlewood_paley(bank)
    for k in range(12):
        for l in range(8):
            psi = bank.psi[..., k, l].square() + bank.psi[..., -k % 12, -l % 8].square()
            assert float(energy[k, l]) == pytest.approx(float(bank.phi[k, l] ** 2 + psi.sum() / 2))
    assert banks.frame_bounds(bank) == (float(energy.min()), float(energy.max()))


@pytest.mark.parametrize("shape", [(2, 6), (6, 2), (10, 14), (32, 48)])
def test_padded_shape_matches_kymatio(shape):
    J = 1
    while 2**J <= min(shape):
        assert banks.padded_shape(shape, J) == compute_padding(*shape, J)
        J += 1
    with pytest.raises(ValueError, match="shape must be at least 2"):
        banks.padded_shape(shape, J)


@pytest.mark.parametrize(("shape", "res"), [((12, 20), r) for r in range(3)] + [((32, 24), 3)])
def test_crop_matches_kymatio(shape, res):
    """Unsymmetric input, and odd sides (3 x 5), show which half the middle bin comes from."""
    f = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = banks.crop(f, res)
    assert ours.shape == (2, 3, shape[0] >> res, shape[1] >> res)
    for i in range(2):
        for j in range(3):
            expected = kymatio.periodize_filter_fft(f[i, j].numpy(), res)
            np.testing.assert_array_equal(ours[i, j].numpy(), expected)


@pytest.mark.parametrize("make", [banks.morlet_bank, banks.tight_bank])
@pytest.mark.parametrize(("shape", "J"), [((12, 20), 2), ((96, 56), 3), ((96, 80), 4)])
def test_lowpass_is_separable_at_every_resolution(make, shape, J):
    phi = make(shape, J).phi
    phi_m, phi_n = banks.separable_factors(phi)
    assert (phi_m.shape, phi_n.shape) == ((shape[0],), (shape[1],))
    for res in range(J):
        outer = torch.outer(*(lowpass.lowest(factor, 0, res) for factor in (phi_m, phi_n)))
        torch.testing.assert_close(outer, banks.crop(phi, res), rtol=0, atol=1e-14)


def lowpass_by_fft(u, phi, res, J):
    """Multiply, average the aliases, invert: the definition, on U [Mp / 2^res, Np / 2^res]."""
    k = 2 ** (J - res)
    spectrum = torch.fft.fft2(u) * banks.crop(phi, res)
    m, n = u.shape[0] // k, u.shape[1] // k
    return torch.fft.ifft2(spectrum.reshape(k, m, k, n).mean((0, 2))).real


@pytest.mark.parametrize(
    ("shape", "J"), [((6, 10), 1), ((12, 28), 2), ((88, 56), 3), ((96, 80), 4)]
)
def test_lowpass_matrix_is_the_fft_lowpass(shape, J):
    phi = banks.morlet_bank(shape, J).phi
    factors = banks.separable_factors(phi)
    for res in range(J):
        m, n = shape[0] >> res, shape[1] >> res
        u = torch.rand(m, n, generator=torch.Generator().manual_seed(res), dtype=torch.float64)
        expected = lowpass_by_fft(u, phi, res, J)
        A_m, A_n = (banks.lowpass_matrix(f, res, J, unpad=False) for f in factors)
        assert A_m.dtype == torch.float64
        torch.testing.assert_close(A_m @ u @ A_n.T, expected, rtol=0, atol=1e-13)
        A_m, A_n = (banks.lowpass_matrix(f, res, J) for f in factors)
        assert (A_m.shape, A_n.shape) == (
            ((shape[0] >> J) - 2, m),
            ((shape[1] >> J) - 2, n),
        )
        torch.testing.assert_close(A_m @ u @ A_n.T, expected[1:-1, 1:-1], rtol=0, atol=1e-13)


def test_support():
    psi = torch.tensor([[[0.0, -8.0], [4.0, 1.0]], [[0.0, 0.5], [-1.0, 0.25]]])
    assert banks.support(psi, 0).tolist() == [
        [[False, True], [True, True]],
        [[False, True], [True, True]],
    ]
    assert banks.support(psi, 0.25).tolist() == [
        [[False, True], [True, False]],
        [[False, True], [True, False]],
    ]
    assert not banks.support(torch.zeros(3, 4, 4), 0).any()


def test_bands_are_the_shortest_there_are(rng):
    """Modulo the side, and the plain ones where nothing is gained; their middle lies inside."""
    for _ in range(300):
        side = rng.randint(1, 12)
        kept = torch.rand(4, side) < rng.random()
        for row, (low, high) in zip(kept, arrays.bands(kept.numpy()).tolist(), strict=True):
            points = set(row.nonzero()[:, 0].tolist())
            if not points:
                assert (low, high) == (0, 0)
                continue
            assert points <= {k % side for k in range(low, high)}
            lengths = (max((p - first) % side for p in points) + 1 for first in range(side))
            assert high - low == min(lengths)
            plain = min(points), max(points) + 1
            assert (low, high) == plain or high - low < plain[1] - plain[0]
            assert -side <= low <= side and 0 <= low + high < 2 * side + (high - low == side)


def test_bands_of_the_low_pass_reach_round_the_edges():
    """At 224 x 224 the rows at the edges have as many taps as all others."""
    p = plan.Plan(J=3, L=1, max_order=2, M=224, N=224)
    _, bands = banded(banks.morlet_bank(p.padded, 3, 1).phi, p, torch.float32)
    assert (bands[:, 1] - bands[:, 0]).reshape(3, 56).unique(dim=1).T.tolist() == [[37, 31, 60]]
    assert bands[[0, 27]].tolist() == [[-10, 27], [206, 243]]


def test_support_shrinks_with_scale():
    mask = banks.support(banks.morlet_bank((144, 144), 4).psi, 1e-6)
    assert mask.shape == (4, 8, 144, 144)
    share = mask.double().mean((1, 2, 3)).tolist()
    assert share == pytest.approx([0.99, 0.48, 0.12, 0.03], abs=0.01)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8", np.longdouble])
def test_custom_bank_from_numpy(dtype):
    rng = np.random.default_rng(0)
    psi = rng.integers(-4, 5, (2, 3, 12, 8)).astype(dtype)[..., ::-1]
    phi = rng.integers(-4, 5, (12, 8)).astype(dtype).copy(order="F")
    bank = banks.FilterBank(psi, phi)
    assert bank.psi.dtype == bank.phi.dtype == torch.float64
    assert bank.psi.is_contiguous()
    assert bank.phi.is_contiguous()
    np.testing.assert_array_equal(bank.psi.numpy(), psi.astype(np.float64))
    np.testing.assert_array_equal(bank.phi.numpy(), phi.astype(np.float64))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_custom_bank_is_a_copy(dtype):
    psi, phi = torch.ones(1, 1, 4, 4, dtype=dtype, requires_grad=True), torch.ones(4, 4).to(dtype)
    bank = banks.FilterBank(psi, phi)
    phi.zero_()
    assert float(bank.phi.min()) == 1
    assert not bank.psi.requires_grad
    for twin in (copy.deepcopy(bank), pickle.loads(pickle.dumps(bank))):
        assert torch.equal(twin.psi, bank.psi)
        assert torch.equal(twin.phi, bank.phi)
    with pytest.raises(AttributeError):
        bank.phi = phi


NAN_PSI = torch.ones(1, 1, 4, 4)
NAN_PSI[0, 0, 1, 2] = float("nan")


@pytest.mark.parametrize(
    ("psi", "phi", "error", "message"),
    [
        ([[1.0]], torch.ones(4, 4), TypeError, "psi must be a tensor or array .* got list"),
        (torch.ones(1, 1, 4, 4), None, TypeError, "phi must be .* got NoneType"),
        (torch.ones(1, 1, 4, 4, dtype=torch.int64), torch.ones(4, 4), TypeError, "psi.*int64"),
        (torch.ones(1, 1, 4, 4), torch.ones(4, 4) * 1j, TypeError, "phi.*complex64"),
        (np.ones((1, 1, 4, 4), complex), np.ones((4, 4)), TypeError, "psi.*complex128"),
        (np.ones((1, 1, 4, 4)), np.ones((4, 4), bool), TypeError, "phi.*bool"),
        (torch.ones(1, 4, 4), torch.ones(4, 4), ValueError, r"psi must be .* got \[1, 4, 4\]"),
        (torch.ones(1, 1, 4, 4), torch.ones(4), ValueError, r"phi must be .* got \[4\]"),
        (torch.ones(1, 0, 4, 4), torch.ones(4, 4), ValueError, r"psi must be .* \[1, 0, 4, 4\]"),
        (torch.ones(1, 1, 4, 4), torch.ones(4, 8), ValueError, r"share .* \[1, 1, 4, 4\] and"),
        (torch.ones(2, 1, 4, 6), torch.ones(4, 6), ValueError, r"divisible by 2\^2; got \(4, 6\)"),
        (NAN_PSI, torch.ones(4, 4), ValueError, "psi must be finite"),
        (torch.ones(1, 1, 4, 4), torch.full((4, 4), math.inf), ValueError, "phi must be finite"),
    ],
)
def test_custom_bank_rejects(psi, phi, error, message):
    with pytest.raises(error, match=f"FilterBank: .*{message}"):
        banks.FilterBank(psi, phi)


@pytest.mark.parametrize("make", [banks.morlet_bank, banks.tight_bank])
@pytest.mark.parametrize(
    ("shape", "J", "L", "error", "message"),
    [
        ((8, 8), 0, 8, ValueError, "J must be at least 1; got 0"),
        ((8, 8), 2.0, 8, TypeError, "J must be an integer; got 2.0"),
        ((8, 8), True, 8, TypeError, "J must be an integer; got True"),
        ((8, 8), 1, 0, ValueError, "L must be at least 1; got 0"),
        ((8, 8), 1, "8", TypeError, "L must be an integer; got '8'"),
        ((8, 12), 3, 8, ValueError, r"shape must have .* divisible by 2\^3; got \(8, 12\)"),
        ((8, 0), 1, 8, ValueError, r"shape must have positive .* got \(8, 0\)"),
        ((-8, 8), 1, 8, ValueError, r"shape must have positive .* got \(-8, 8\)"),
        ((8, 8, 8), 1, 8, ValueError, r"shape must be a pair .* got \(8, 8, 8\)"),
        ((8.0, 8), 1, 8, TypeError, "shape must be a pair"),
        (8, 1, 8, TypeError, "shape must be a pair .* got 8"),
        ((8, 8), 10**9, 8, ValueError, "J must be at most 24; got 1000000000"),
    ],
)
def test_banks_reject(make, shape, J, L, error, message):
    with pytest.raises(error, match=f"{make.__name__}: {message}"):
        make(shape, J, L)


def test_numpy_integers_are_integers():
    bank = banks.morlet_bank(np.array([8, 8]), np.int64(1), np.int32(2))
    assert bank.psi.shape == (1, 2, 8, 8)


PHI = banks.morlet_bank((24, 24), 3).phi
PHI_M = banks.separable_factors(PHI)[0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: banks.padded_shape((32, 32), 0), ValueError, "padded_shape: J"),
        (lambda: banks.padded_shape((32,), 1), ValueError, "padded_shape: shape"),
        (lambda: banks.padded_shape((-32, 32), 2), ValueError, "padded_shape: .*shape"),
        (lambda: banks.crop(PHI, -1), ValueError, "crop: res must be at least 0; got -1"),
        (lambda: banks.crop(PHI, 0.5), TypeError, "crop: res must be an integer"),
        (lambda: banks.crop(PHI, 4), ValueError, r"crop: f must .* 2\^4; got \(24, 24\)"),
        (lambda: banks.crop(PHI_M, 1), ValueError, "crop: f must have shape"),
        (lambda: banks.separable_factors(PHI_M), ValueError, r"phi must be \[Mp, Np\]"),
        (lambda: banks.separable_factors(0 * PHI), ValueError, "phi must not be zero"),
        (lambda: banks.separable_factors(torch.eye(4)), ValueError, "residual is 1"),
        (lambda: banks.separable_factors(PHI * math.nan), ValueError, "residual is nan"),
        (lambda: banks.lowpass_matrix(PHI, 0, 3), ValueError, r"phi_1d must be \[n\]"),
        (lambda: banks.lowpass_matrix(PHI_M, 3, 3), ValueError, "res must be below J = 3"),
        (lambda: banks.lowpass_matrix(PHI_M, -1, 3), ValueError, "res must be at least 0"),
        (lambda: banks.lowpass_matrix(PHI_M, 0, 0), ValueError, "J must be at least 1"),
        (lambda: banks.lowpass_matrix(PHI_M, 0, 4), ValueError, r"phi_1d must .* by 2\^4"),
        (lambda: banks.lowpass_matrix(PHI_M[:16], 0, 3), ValueError, "at least .* = 24 bins"),
        (lambda: banks.lowpass_matrix(PHI_M.roll(1), 0, 3), ValueError, "phi_1d must be even"),
        (lambda: banks.support(PHI, -1e-3), ValueError, r"tol must be in \[0, 1\)"),
        (lambda: banks.support(PHI, 1), ValueError, r"tol must be in \[0, 1\)"),
        (lambda: banks.support(PHI_M, 0), ValueError, "psi must have shape"),
    ],
)
def test_rejects(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_separable_factors_accept_float32_rounding():
    phi_m, phi_n = banks.separable_factors(PHI.float().double())
    torch.testing.assert_close(torch.outer(phi_m, phi_n), PHI, rtol=0, atol=3e-7)
    # A second component of 1e-5 is a different filter, and an error.
    bump = torch.zeros_like(PHI)
    bump[3, 5] = 1e-5
    with pytest.raises(ValueError, match="outer product"):
        banks.separable_factors(PHI + bump)
