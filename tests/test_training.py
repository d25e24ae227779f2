"""fit: what it learns, keeps, resumes, refuses; alone and in two processes."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("safetensors")
pytest.importorskip("tqdm")

from scatcuda import Scattering2D
from scatcuda.data import DataError, digits
from scatcuda.learn.fitting.augment import Augment
from scatcuda.learn.fitting.checkpoint import CHECKPOINT, Checkpoint, load_weights
from scatcuda.learn.fitting.history import HISTORY, Teller, read_history
from scatcuda.learn.fitting.inference import evaluate, predict
from scatcuda.learn.fitting.recipe import Recipe
from scatcuda.learn.fitting.training import fit
from scatcuda.learn.networks.models import Hybrid
from scatcuda.learn.networks.models import hybrid as hybrid_of

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def images() -> tuple[Tensor, Tensor]:
    x, y = digits(8)
    return (x * 255).to(torch.uint8), y


def network(seed: int = 0) -> nn.Module:
    """Everything that a step can leave behind: running statistics, dropout, momentum."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.1), nn.Linear(128, 10),
    )  # fmt: skip


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def weights(model: nn.Module) -> Tensor:
    return torch.cat([v.detach().flatten().double() for v in model.state_dict().values()])


def test_learns_and_tells(images, tmp_path):
    x, y = images
    model = network()
    rows = fit(
        model, (x[:1500], y[:1500]), (x[1500:], y[1500:]), epochs=8, min_steps=0, augment="crop=1",
        label_smoothing=0.05, run_dir=tmp_path, device="cpu",
    )  # fmt: skip
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert rows[-1]["step"] == 8 * (1500 // 128)
    assert rows[-1]["val_accuracy"] > 0.9
    loss, accuracy = evaluate(model, x[1500:], y[1500:], device="cpu")
    assert rows[-1]["val_loss"] == pytest.approx(loss)
    assert rows[-1]["val_accuracy"] == pytest.approx(accuracy)
    logits = predict(model, x[1500:], device="cpu")
    assert (logits.argmax(1) == y[1500:]).double().mean() == pytest.approx(accuracy)

    assert read_history(tmp_path) == rows
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").iterdir())
    assert not list(tmp_path.glob(".*"))
    other = network(1)
    load_weights(other, tmp_path)
    assert torch.equal(weights(other), weights(model))


def test_the_learning_rate_goes_through_one_cycle(images):
    x, y = images
    rows = fit(linear(), (x[:640], y[:640]), epochs=20, batch_size=64, min_steps=0, lr=0.2)
    lr = [row["lr"] for row in rows]
    top = lr.index(max(lr))
    assert 4 <= top <= 7 and max(lr) == pytest.approx(0.2, rel=0.05)
    assert lr[: top + 1] == sorted(lr[: top + 1]) and lr[top:] == sorted(lr[top:], reverse=True)
    assert lr[-1] < 1e-3


def test_few_images_get_enough_steps(images):
    x, y = images
    rows = fit(linear(), (x[:50], y[:50]), epochs=1, lr=0.01)
    assert rows[-1]["step"] == 300 and len(rows) == 300


def test_validation_costs_no_more_than_training(images):
    x, y = images
    rows = fit(linear(), (x[:100], y[:100]), (x[100:600], y[100:600]), epochs=12, min_steps=0)
    assert [row["epoch"] for row in rows if "val_loss" in row] == [5, 10, 12]


def test_weight_decay_spares_biases(images):
    x, y = images
    trained = []
    for decay in (0.0, 5.0):
        model = linear()
        nn.init.constant_(model[1].bias, 100.0)
        fit(model, (x, y), epochs=1, min_steps=0, weight_decay=decay, lr=0.01)
        trained.append(model[1])
    assert trained[1].weight.norm() < trained[0].weight.norm() / 2
    assert trained[1].bias.mean() > 99


def test_seeds_decide_everything(images):
    x, y = images
    results = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        model = network()
        torch.manual_seed(noise)
        before = torch.get_rng_state()
        fit(model, (x[:300], y[:300]), epochs=2, min_steps=0, augment="flip,crop=2", seed=seed)
        assert torch.equal(torch.get_rng_state(), before)  # the caller's generator is left alone
        results.append(weights(model))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_early_stop_keeps_the_best(images, tmp_path):
    x, y = images
    model = linear()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(10, y.shape, generator=generator)  # nothing to be learned
    rows = fit(
        model, (x[:200], noise[:200]), (x[200:400], noise[200:400]), epochs=200, lr=0.05,
        patience=3, run_dir=tmp_path,
    )  # fmt: skip
    validated = [row["val_accuracy"] for row in rows if "val_accuracy" in row]
    assert len(rows) < 200
    assert max(validated[:-3]) >= max(validated[-3:])
    assert evaluate(model, x[200:400], noise[200:400])[1] == pytest.approx(max(validated))
    other = linear()
    load_weights(other, tmp_path)
    assert torch.equal(weights(other), weights(model))
    assert fit(linear(), (x[:200], noise[:200]), (x[200:400], noise[200:400]), epochs=200, lr=0.05,
               patience=3, run_dir=tmp_path) == rows  # fmt: skip


class Counting(Scattering2D):
    """A scattering that counts the images it sees."""

    seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        return super().forward(x)


def hybrid() -> Hybrid:
    torch.manual_seed(0)
    head = nn.Sequential(nn.BatchNorm2d(9), nn.Flatten(), nn.Linear(9 * 16, 10))
    return Hybrid(Counting(J=1, shape=(8, 8)), head)


def test_frozen_features_are_computed_once(images):
    x, y = images
    data, held = (x[:600], y[:600]), (x[600:1000], y[600:1000])
    once, always = hybrid(), hybrid()
    options = {"epochs": 5, "min_steps": 0, "lr": 0.05}
    rows = fit(once, data, held, **options)
    again = fit(always, data, held, cache=False, **options)
    assert once.scattering.seen < 600 + 400 + 10
    assert always.scattering.seen >= 5 * 512 + 400
    assert rows[-1]["val_accuracy"] == pytest.approx(again[-1]["val_accuracy"], abs=0.02)
    assert (weights(once) - weights(always)).norm() < 1e-2 * weights(always).norm()
    for wrong, options in (
        (linear(), {}), (hybrid(), {"augment": "flip"}),
        (Hybrid(Scattering2D(1, (8, 8), trainable="wavelets"), hybrid().head), {}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="cache: the features cannot be computed once"):
            fit(wrong, data, cache=True, **options)


def test_learned_wavelets_learn(images):
    x, y = images
    model = Hybrid(Scattering2D(J=1, shape=(8, 8), trainable="wavelets"), hybrid().head)
    before = weights(model.scattering.learned).clone()
    fit(model, (x[:256], y[:256]), epochs=2, min_steps=0)
    assert not torch.equal(weights(model.scattering.learned), before)


@pytest.mark.proof
@pytest.mark.parametrize("option", ["amp", "compile"])
def test_mixed_precision_and_compiled(images, option):
    x, y = images
    model = network()
    rows = fit(model, (x[:1000], y[:1000]), (x[1000:], y[1000:]), epochs=6, **{option: True})
    assert rows[-1]["val_accuracy"] > 0.85


def test_a_lazy_array_is_read_in_batches(images):
    x, y = images

    class Lazy:
        shape, dtype = x[:400].shape, x.dtype
        asked: list[int] = []  # noqa: RUF012

        def __len__(self) -> int:
            return 400

        def __getitem__(self, index: Tensor) -> Tensor:
            self.asked.append(len(index))
            return x[:400][index]

    lazy, whole = network(), network()
    fit(lazy, (Lazy(), y[:400]), epochs=3, min_steps=0)
    fit(whole, (x[:400], y[:400]), epochs=3, min_steps=0)
    assert torch.equal(weights(lazy), weights(whole))
    assert max(Lazy.asked) <= 128


# --- augmentation -----------------------------------------------------------------------------


def test_augment_flips_and_shifts():
    x = torch.rand(64, 2, 9, 7)
    out = Augment(flip=True, crop=2)(x, torch.Generator().manual_seed(0))
    padded = nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    seen = set()
    for b in range(64):
        windows = {
            (down, right, flip): (padded[b].flip(-1) if flip else padded[b])[
                :, down : down + 9, right : right + 7
            ]
            for down in range(5) for right in range(5) for flip in (False, True)
        }  # fmt: skip
        found = [which for which, window in windows.items() if torch.equal(out[b], window)]
        assert len(found) == 1, b
        seen.add(found[0])
    assert len(seen) > 30
    assert torch.equal(Augment()(x, torch.Generator()), x)


@pytest.mark.parametrize("text", ["none", "flip", "crop=4", "flip,crop=4"])
def test_augment_is_spelt(text):
    assert str(Augment.parse(text)) == text


def test_cached_features_beyond_float16_name_the_image(images):
    x, y = images[0][:300].float(), images[1][:300]
    x[271] *= 1e6
    net = hybrid()
    with pytest.raises(ValueError, match=r"train: features of image 271 are beyond.*cache=False"):
        fit(net, (x, y), epochs=1, min_steps=0, cache=True, device="cpu")


# --- killed and resumed -----------------------------------------------------------------------

KILLED = """
    import sys
    sys.path[:0] = [{tests!r}, {root!r}]
    import torch
    torch.set_num_threads(1)
    from test_training import network, digits, fit
    x, y = digits(8)
    print("ready", flush=True)
    fit(network(), (x[:500], y[:500]), (x[500:700], y[500:700]), epochs=60, batch_size=50,
        augment="crop=1", run_dir={run!r}, save_every={every}, tensorboard=False, device="cpu")
    print("done", flush=True)
"""


def start(run: Path, every: float = 0.0) -> subprocess.Popen:
    code = textwrap.dedent(KILLED).format(
        tests=str(ROOT / "tests"), root=str(ROOT), run=str(run), every=every
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=ROOT,
    )  # fmt: skip


@pytest.mark.proof
def test_a_killed_run_ends_with_the_same_bits(images, tmp_path):
    x, y = digits(8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = network()
    rows = fit(whole, (x[:500], y[:500]), (x[500:700], y[500:700]), epochs=60, batch_size=50,
               augment="crop=1", device="cpu")  # fmt: skip
    torch.set_num_threads(threads)

    clock = random.Random(0)
    kills = 0
    for _ in range(40):
        process = start(tmp_path / "run")
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(clock.uniform(0.1, 0.6) if kills < 3 else 0)
        if kills < 3:
            process.kill()
        out, err = process.communicate(timeout=600)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err
        kills += 1
        if (tmp_path / "run" / CHECKPOINT).exists():
            Checkpoint.read(tmp_path / "run")  # never half a file
    assert kills == 3 and "done" in out
    resumed = network(1)
    load_weights(resumed, tmp_path / "run")
    assert torch.equal(weights(resumed), weights(whole))
    plain = [{k: v for k, v in row.items() if "second" not in k} for row in rows]
    kept = [
        {k: v for k, v in row.items() if "second" not in k}
        for row in read_history(tmp_path / "run")
    ]
    assert kept == plain


@pytest.mark.proof
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves(tmp_path, number):
    process = start(tmp_path, every=1e9)
    assert process.stdout.readline() == "ready\n"
    while not (tmp_path / HISTORY).exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    if number == signal.SIGTERM:
        assert process.returncode == 128 + number, err
    else:
        assert "KeyboardInterrupt" in err
    about = Checkpoint.read(tmp_path).about
    assert 0 < about["step"] < 600 and not about["finished"]


def test_what_a_killed_run_wrote_too_much_is_dropped(images, tmp_path):
    x, y = images
    rows = fit(linear(), (x[:200], y[:200]), epochs=3, min_steps=0, run_dir=tmp_path)
    with open(tmp_path / HISTORY, "a") as file:
        file.write(json.dumps({"epoch": 4}) + "\n" + '{"epo')
    assert read_history(tmp_path)[-1] == {"epoch": 4}
    assert fit(linear(), (x[:200], y[:200]), epochs=3, min_steps=0, run_dir=tmp_path) == rows
    assert read_history(tmp_path) == rows


def test_another_run_is_not_resumed(images, tmp_path):
    x, y = images
    data = x[:200], y[:200]
    fit(linear(), data, epochs=1, min_steps=0, run_dir=tmp_path)
    for changed, name in (
        ({"lr": 0.3}, "lr = 0.1, now 0.3"), ({"seed": 2}, "seed = 0, now 2"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            fit(linear(), data, **{"epochs": 1, "min_steps": 0, "run_dir": tmp_path, **changed})
    with pytest.raises(ValueError, match="holds a run with model"):
        fit(network(), data, epochs=1, min_steps=0, run_dir=tmp_path)
    fit(network(), data, epochs=1, min_steps=0, run_dir=tmp_path, resume="never")
    with pytest.raises(ValueError, match="of another network"):
        load_weights(linear(), tmp_path)


class Fixed(nn.Module):
    """What is neither learned nor in its state makes another model, too."""

    def __init__(self, what: str = "", factor: float = 1.0) -> None:
        super().__init__()
        self.last = nn.Linear(64, 10)
        self.between = nn.Tanh() if what == "tanh" else nn.ReLU()
        self.of_memory = torch.full((64,), factor)
        self.register_buffer("hidden", torch.tensor(2.0 if what == "buffer" else 1.0), False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(x.flatten(1) * self.of_memory * self.hidden))


def test_another_fixed_part_is_another_run(images, tmp_path):
    x, y = images
    data = x[:64, ..., :8, :8].float(), y[:64]
    how = {"epochs": 1, "min_steps": 0, "run_dir": tmp_path, "augment": "none"}
    rows = fit(Fixed(), data, **how)
    assert fit(Fixed(), data, **how) == rows
    for other in (Fixed("tanh"), Fixed("buffer"), Fixed(factor=2.0)):
        with pytest.raises(ValueError, match="holds a run with model"):
            fit(other, data, **how)
    wavelets = {
        name: Hybrid(
            Scattering2D(1, (8, 8), filters=name), nn.Sequential(nn.Flatten(), nn.Linear(144, 10))
        )
        for name in ("morlet", "tight")
    }
    how["run_dir"] = tmp_path / "hybrid"
    fit(wavelets["morlet"], data, **how)
    with pytest.raises(ValueError, match="holds a run with model"):
        fit(wavelets["tight"], data, **how)


def test_every_pixel_and_label_tells_a_run_from_another(images, tmp_path):
    x, y = images[0][:200], images[1][:200]
    val = images[0][200:230], images[1][200:230]
    pixel, label, dark = x.clone(), y.clone(), (val[0].clone(), val[1])
    pixel[58, 3, 5] ^= 1
    label[77] = (label[77] + 1) % 10
    dark[0][7] = 0
    how = {"epochs": 1, "min_steps": 0, "run_dir": tmp_path}
    model = linear()
    rows = fit(model, (x, y), val, **how)
    kept = (tmp_path / CHECKPOINT).read_bytes()
    for train, other, message in (
        ((pixel, y), val, "the training images are others"),
        ((x, label), val, "the training labels are others"),
        ((x[:199], y[:199]), val, "199 training images, before 200"),
        ((x.flatten(1), y), val, "training images of shape"),
        ((x.float(), y), val, "the training images are others"),
        ((x, y), dark, "the validation images are others"),
        ((x, y), None, "0 validation images, before 30"),
    ):
        with pytest.raises(ValueError, match=f"holds a run on other data: {message}.*; it is kept"):
            fit(linear(), train, other, **how)
    assert (tmp_path / CHECKPOINT).read_bytes() == kept

    class Lazy:
        shape, dtype = x.shape, x.dtype

        def __len__(self) -> int:
            return len(x)

        def __getitem__(self, index: Tensor) -> Tensor:
            return x[index]

    again = linear()
    assert fit(again, (Lazy(), y.clone()), val, **how) == rows  # the same content is the same data
    assert torch.equal(weights(again), weights(model))


def test_a_damaged_checkpoint_is_one_sentence(images, tmp_path):
    x, y = images
    data = x[:200], y[:200]
    with pytest.raises(DataError, match="no such file"):
        fit(linear(), data, run_dir=tmp_path, resume="must")
    fit(linear(), data, epochs=1, min_steps=0, run_dir=tmp_path)
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    for damaged in (b"", whole[:7], whole[:100], whole[:-1], b"\xff" * 100):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"{CHECKPOINT}: not a"):
            fit(linear(), data, epochs=1, min_steps=0, run_dir=tmp_path)


# --- several processes ------------------------------------------------------------------------

RANKED = """
    import sys
    sys.path[:0] = [{tests!r}, {root!r}]
    import torch
    torch.set_num_threads(1)
    from test_training import digits, fit, linear, hybrid, weights
    x, y = digits(8)
    # A batch is all there is: the order does not matter, and two processes do what one does.
    model = linear()
    rows = fit(model, (x[:200], y[:200]), (x[200:301], y[200:301]), epochs=20, batch_size=200,
               min_steps=0, run_dir={run!r} + "/linear", device="cpu", save_every=0)
    other = hybrid()
    fit(other, (x[:301], y[:301]), epochs=3, batch_size=32, min_steps=0, device="cpu",
        run_dir={run!r} + "/hybrid")
    import os
    torch.save([rows, weights(model), weights(other.head)], {run!r} + "/" + os.environ["RANK"])
"""


@pytest.mark.proof
def test_two_processes(images, tmp_path):
    code = tmp_path / "ranked.py"
    code.write_text(
        textwrap.dedent(RANKED).format(tests=str(ROOT / "tests"), root=str(ROOT), run=str(tmp_path))
    )
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for _ in range(2):  # the second time all is found finished
        done = subprocess.run(
            [*run, str(code)], capture_output=True, text=True, cwd=ROOT, timeout=600,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        first, second = (torch.load(tmp_path / r, weights_only=True) for r in "01")
        assert torch.equal(first[1], second[1])
        assert torch.equal(first[2], second[2])
    x, y = digits(8)
    alone = linear()
    rows = fit(alone, (x[:200], y[:200]), (x[200:301], y[200:301]), epochs=20, batch_size=200,
               min_steps=0)  # fmt: skip
    torch.testing.assert_close(first[1], weights(alone), rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(rows, first[0], strict=True):
        for name in mine.keys() - {"seconds", "images_per_second"}:
            assert mine[name] == pytest.approx(theirs[name], rel=1e-5), name
    assert read_history(tmp_path / "linear") == first[0]


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"epochs": 1.5}, "epochs must be an int, got float"),
        ({"lr": 0}, "lr must be above 0"),
        ({"lr": float("nan")}, "lr must be above 0"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1"),
        ({"amp": 1}, "amp must be a bool"),
        ({"augment": "rotate"}, "augment: expected none, flip"),
        ({"augment": "crop=8"}, "crop=8 for images of 8 x 8"),
        ({"rate": 1}, "rate"),
        ({"resume": "yes"}, "resume must be auto, must or never"),
        ({"resume": "must"}, "needs a run_dir"),
        ({"device": "gpu"}, "device must be auto, cpu or cuda"),
    ],
)
def test_wrong_options(images, options, message):
    x, y = images
    with pytest.raises((TypeError, ValueError), match=message):
        fit(linear(), (x[:20], y[:20]), **options)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: x, "train must be a pair"),
        (lambda x, y: (x, y[:-1]), "200 images but 199 labels"),
        (lambda x, y: (x, y.float()), "labels must be integers"),
        (lambda x, y: (x, y - 1), "labels must be classes from 0, got -1"),
        (lambda x, y: (x, y + 1), "labels up to 10, but the model knows 10 classes"),
        (lambda x, y: (x.int(), y), "images must be uint8 or floating point"),
        (lambda x, y: (x[:0], y[:0]), "train is empty"),
        (lambda x, y: (x[:, :7], y), "mat1 and mat2"),
        (lambda x, y: (x.float() * float("inf"), y), "the loss became nan"),
    ],
)
def test_wrong_data(images, spoil, message):
    x, y = images
    with pytest.raises((TypeError, ValueError, RuntimeError, FloatingPointError), match=message):
        fit(linear(), spoil(x[:200], y[:200]), epochs=1, min_steps=0)


def test_a_model_without_parameters(images):
    x, y = images
    with pytest.raises(ValueError, match="no parameter to be trained"):
        fit(nn.Flatten(), (x[:20], y[:20]))


def test_recipe_is_written_and_read():
    recipe = Recipe(epochs=3, augment="flip,crop=2")
    assert Recipe(**recipe.written()) == recipe


@pytest.mark.parametrize("shape", [(12, 1, 64), (12, 64), (12, 2, 64)], ids=str)
def test_hybrids_of_signals_take_signals(shape):
    """Their three axes are channels and time, not an image."""
    net = hybrid_of(2, (shape[1] if len(shape) == 3 else 1, 64), J=3, Q=2, head="linear")
    x, y = torch.randn(shape), torch.arange(12) % 2
    (row,) = fit(net, (x, y), (x, y), epochs=1, min_steps=0, device="cpu")
    assert row["val_loss"] > 0
    assert predict(net, x, device="cpu").shape == (12, 2)
    assert evaluate(net, x, y, device="cpu")[1] <= 1


def test_what_a_network_does_not_know_is_told():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    x, y = torch.rand(6, 8, 8), torch.tensor([0, 1, 2, 50, 1, 0])
    with pytest.raises(ValueError, match="images: labels up to 50, but the model knows 3 classes"):
        evaluate(net, x, y, device="cpu")
    with pytest.raises(ValueError, match="patience needs images to validate on: val"):
        fit(net, (x, y % 3), patience=1, device="cpu")
    for wrong in (Augment(crop=-1), Augment(crop=1.5), Augment(flip="no")):
        with pytest.raises((TypeError, ValueError), match=r"augment: (crop|flip) must be"):
            fit(net, (x, y % 3), augment=wrong, device="cpu")


def test_arrays_of_any_layout_train():
    x, y = np.random.default_rng(0).random((12, 8, 8)), np.arange(12) % 3
    losses = []
    for images, labels in (
        (x[::-1].copy(), y[::-1].copy()), (x[::-1], y[::-1]),
        (x.astype(">f8")[::-1], y.astype(">i8")[::-1]),
    ):  # fmt: skip
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        losses.append(fit(net, (images, labels), epochs=2, device="cpu")[-1]["loss"])
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("kind", [np.uint16, np.uint32, np.int8])
def test_labels_are_integers_of_any_kind(kind):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    fit(net, (torch.rand(6, 8, 8), (np.arange(6) % 3).astype(kind)), epochs=1, device="cpu")
    with pytest.raises(TypeError, match="model must be a module, got NoneType"):
        fit(None, (torch.rand(6, 8, 8), torch.arange(6) % 3))


def test_a_hybrid_is_left_in_the_mode_it_was_in():
    """Also where the features in front of its head are kept."""
    for training in (True, False):
        net = hybrid_of(3, (1, 8, 8), J=1, L=2, head="linear").train(training)
        before = [part.training for part in net.scattering.modules()]
        x, y = torch.rand(6, 8, 8), torch.arange(6) % 3
        fit(net, (x, y), (x, y), epochs=1, min_steps=0, cache=True, device="cpu")
        assert [part.training for part in net.scattering.modules()] == before
        assert net.training == training


def test_a_full_disk_is_told_by_the_file(tmp_path, monkeypatch):
    teller = Teller(tmp_path, [], images=1, done=0, epochs=1, progress=False, tensorboard=False)
    (tmp_path / "full").symlink_to("/dev/full")
    teller.file.close()
    teller.file = open(tmp_path / "full", "w")
    with pytest.raises(OSError, match=r"No space left on device: '.*full'"):
        teller.epoch({"epoch": 1})
    teller.close()
