"""The loop: same seed same curve, resume bit for bit, stop on a loss that is not finite, two processes as one."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from lmtutor.errors import ConfigError, TrainingError
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.train import TrainConfig, train

SIZES = dict(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
             max_position_embeddings=16)
FAST = dict(steps=12, batch_size=4, dtype="float32")


@pytest.fixture
def rows():
    return np.random.default_rng(0).integers(0, 50, (64, 17)).astype(np.int16)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_same_seed_gives_same_curve_and_leaves_global_state_alone(rows):
    state = torch.get_rng_state()
    models = [build(TinyConfig(**SIZES), seed=3) for _ in range(2)]
    one, two = (train(m, rows, TrainConfig(**FAST), seed=1) for m in models)
    assert one.loss == two.loss
    assert torch.equal(weights(models[0]), weights(models[1]))
    assert torch.equal(state, torch.get_rng_state())
    assert one.tokens == 12 * 4 * 16


def test_another_seed_gives_another_order_of_rows(rows):
    losses = [train(build(TinyConfig(**SIZES), seed=3), rows, TrainConfig(**FAST), seed=s).loss for s in (1, 2)]
    assert losses[0] != losses[1]


def test_first_loss_is_the_logarithm_of_the_vocabulary(rows):
    history = train(build(TinyConfig(**SIZES), seed=0), rows, TrainConfig(**FAST), seed=0)
    assert history.loss[0] == pytest.approx(np.log(50), abs=1e-5)


def test_a_row_that_repeats_one_text_is_learned_by_heart(rows):
    same = np.repeat(rows[:1], 8, axis=0)
    history = train(build(TinyConfig(**SIZES), seed=0), same, TrainConfig(steps=150, batch_size=4, dtype="float32"), seed=0)
    assert history.loss[-1] < 0.1


def test_adamw_alone_trains_too(rows):
    history = train(build(TinyConfig(**SIZES), seed=0), rows, TrainConfig(steps=60, batch_size=4, muon_lr=None), seed=0)
    assert history.loss[-1] < history.loss[0]


def test_checks_are_called_where_asked_and_cost_no_training_time(rows):
    def slow(model, step):
        assert not model.training
        time.sleep(0.2)
        return {"n": step}

    history = train(build(TinyConfig(**SIZES), seed=0), rows, TrainConfig(**FAST), seed=0, evaluate=slow, evaluate_at=(0, 5, 12))
    assert [(e["step"], e["n"]) for e in history.evaluations] == [(0, 0), (5, 5), (12, 12)]
    assert history.evaluations[1]["tokens"] == 5 * 4 * 16
    plain = train(build(TinyConfig(**SIZES), seed=0), rows, TrainConfig(**FAST), seed=0)
    assert history.loss == plain.loss  # looking does not change what is looked at


def test_learning_rate_rises_stays_and_falls():
    config = TrainConfig(steps=100, warmup=10, decay_from=0.5, floor=0.02)
    assert config.rate(0) == pytest.approx(0.1)
    assert config.rate(9) == config.rate(49) == 1.0
    assert config.rate(75) == pytest.approx(0.5)
    assert config.rate(99) == pytest.approx(0.02)


KILLED = """
import sys, numpy as np
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.train import TrainConfig, train
from lmtutor import runtime
runtime.set_threads(1)
rows = np.load(sys.argv[1])
model = build(TinyConfig(**{sizes}), seed=3)
history = train(model, rows, TrainConfig(steps=400, batch_size=4), seed=1, checkpoint=sys.argv[2], checkpoint_seconds=0.01)
model.save_pretrained(sys.argv[3])
import json; json.dump(history.loss, open(sys.argv[3] + "/loss.json", "w"))
"""


@pytest.mark.long
def test_killed_at_a_random_step_it_ends_with_the_same_weights_bit_for_bit(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    code = KILLED.format(sizes=SIZES)

    def start(out, state):
        return subprocess.Popen([sys.executable, "-c", code, tmp_path / "rows.npy", tmp_path / state, tmp_path / out],
                                stderr=subprocess.PIPE)

    whole = start("whole", "whole.pt")
    assert whole.wait(180) == 0, whole.stderr.read().decode()[-500:]
    kills = 0
    rng = np.random.default_rng()  # a different moment each time this test runs, on purpose
    while True:
        process = start("parts", "parts.pt")
        deadline = time.time() + 120
        while kills < 3 and process.poll() is None and not (tmp_path / "parts.pt").exists() and time.time() < deadline:
            time.sleep(0.01)
        if kills < 3:
            time.sleep(rng.uniform(0, 0.5) if kills == 0 else rng.uniform(0, 6))
            process.send_signal(signal.SIGKILL)
            kills += 1
            process.wait()
            if (tmp_path / "parts").exists():
                break  # it was done before the kill: that is a resume too, if one came before
        else:
            assert process.wait(180) == 0, process.stderr.read().decode()[-500:]
            break
    one, two = ((tmp_path / out / "model.safetensors").read_bytes() for out in ("whole", "parts"))
    assert one == two
    assert json.loads((tmp_path / "whole/loss.json").read_text()) == json.loads((tmp_path / "parts/loss.json").read_text())


def test_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(rows, tmp_path):
    model = build(TinyConfig(**SIZES), seed=0)
    good = tmp_path / "state.pt"

    def poison(model, step):
        if step == 6:
            with torch.no_grad():
                model.lm_head.weight[0, 0] = torch.nan
        return {}

    with pytest.raises(TrainingError, match=r"loss is nan at step 6; lower the learning rates, the last good state is in"):
        train(model, rows, TrainConfig(**FAST), seed=0, checkpoint=good, checkpoint_seconds=0, evaluate=poison, evaluate_at=(6,))
    saved = torch.load(good, weights_only=True)
    assert saved["step"] == 5
    assert all(t.isfinite().all() for t in saved["model"].values())
    history = train(build(TinyConfig(**SIZES), seed=0), rows, TrainConfig(**FAST), seed=0, checkpoint=good)
    assert len(history.loss) == 12


@pytest.mark.long
def test_checkpoint_of_another_run_and_damaged_checkpoint_are_refused(rows, tmp_path):
    state = tmp_path / "state.pt"
    train(build(TinyConfig(**SIZES), seed=0), rows, TrainConfig(**FAST), seed=0, checkpoint=state, checkpoint_seconds=0)
    with pytest.raises(TrainingError, match="belongs to a run with other data or settings; delete it"):
        train(build(TinyConfig(**SIZES), seed=0), rows, TrainConfig(**FAST), seed=1, checkpoint=state)
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="cannot be read .*delete it to start again"):
        train(build(TinyConfig(**SIZES), seed=0), rows, TrainConfig(**FAST), seed=0, checkpoint=state)


@pytest.mark.parametrize("settings, message", [
    (dict(steps=0), "at least 1"), (dict(dtype="float16"), "allowed are auto, float32, bfloat16"),
    (dict(decay_from=1.0), "allowed is 0 to below 1"),
])
def test_contradicting_settings_are_refused_in_one_line(settings, message):
    with pytest.raises(ConfigError, match=message) as error:
        TrainConfig(**settings)
    assert "\n" not in str(error.value)


def test_too_few_rows_are_refused(rows):
    with pytest.raises(ConfigError, match="3 rows fill no step of 16; give more text or a smaller batch_size"):
        train(build(TinyConfig(**SIZES), seed=0), rows[:3], TrainConfig(), seed=0)


TWO = """
import sys, json, numpy as np
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.train import TrainConfig, train
rows = np.load(sys.argv[1])
model = build(TinyConfig(**{sizes}), seed=3)
history = train(model, rows, TrainConfig(steps=20, batch_size={batch}, dtype="float32"), seed=1)
from accelerate import PartialState
if PartialState().is_main_process:
    json.dump([history.loss, history.tokens], open(sys.argv[2], "w"))
"""


@pytest.mark.long
def test_two_processes_give_the_loss_curve_of_one_with_twice_the_batch(rows, tmp_path):
    np.save(tmp_path / "rows.npy", rows)
    told = []
    for processes, batch in ((1, 8), (2, 4)):
        script, out = tmp_path / f"p{processes}.py", tmp_path / f"p{processes}.json"
        script.write_text(TWO.format(sizes=SIZES, batch=batch))
        launch = [sys.executable]
        if processes > 1:
            # --multi_gpu only chooses torch's launcher; without a GPU the processes meet over gloo
            launch += ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
                       "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
        done = subprocess.run([*launch, script, tmp_path / "rows.npy", out], capture_output=True, text=True, timeout=300,
                              env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr[-1500:]
        told.append(json.loads(out.read_text()))
    (one, tokens), (two, tokens_two) = told
    assert tokens == tokens_two == 20 * 8 * 16
    # Sums in another order, then twenty steps of Muon: equal to about four digits, not to the last bit.
    assert np.allclose(one, two, atol=2e-3)
