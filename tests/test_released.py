"""The runs that travel with the package are what they say."""

import pytest

from lmtutor.errors import AssetError, ConfigError
from lmtutor.pretrain.tinyworld import CHECKPOINTS, TARGETS
from lmtutor.records.store import moved_on
from lmtutor.tinyworld import probes
from lmtutor.tinyworld.released import REPORTED, RETENTION_PROBES, SHIPPED, VARIANTS, load_checkpoint, metrics, reported_probes
from lmtutor.train import TrainConfig

SIZE_LIMIT = 12e6  # bytes, all shipped checkpoints together


@pytest.mark.parametrize("call, message", [
    (lambda: metrics("huge"), "no variant is called 'huge'"),
    (lambda: load_checkpoint(step=3), r"step 3 was not kept; choose from \[0, 70"),
])
def test_unknown_names_are_refused_in_one_line(call, message):
    with pytest.raises(ConfigError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_folder_without_a_run_says_how_to_make_one(tmp_path):
    with pytest.raises(AssetError, match="make it with `lmtutor pretrain tinyworld --variant released --seed 0 --out DIR`"):
        metrics(folder=tmp_path)


def test_shipped_checkpoints_fit_their_budget():
    files = list(SHIPPED.rglob("*.safetensors"))
    assert len(list((SHIPPED / "released/checkpoints").iterdir())) == len(CHECKPOINTS)
    assert sum(f.stat().st_size for f in files) <= SIZE_LIMIT


@pytest.mark.parametrize("variant", [name for name, v in VARIANTS.items() if v.travels])
def test_shipped_runs_were_made_by_the_code_as_it_is(variant):
    told = metrics(variant)
    assert told["variant"] == variant and len(told["loss"]) == TrainConfig.steps
    assert moved_on(told["address"], told["parts"], "lmtutor.pretrain.tinyworld:run") is None


def test_shipped_weights_answer_as_their_metrics_say():
    model, _, world = load_checkpoint()
    asked = probes.build(world, seed=REPORTED)
    now = probes.summary(probes.run(model, asked))
    then = metrics()["curve"][-1]["probes"]
    # fp16 weights and fp32 products against the run's own arithmetic: a question on the edge may tip over
    assert max(abs(now[k] - then[k]) for k in then if not k.endswith("_free")) <= 0.05
    for name, least in TARGETS.items():
        assert now[name] >= least, name


def test_the_known_probes_are_known():
    model, _, world = load_checkpoint()
    found = probes.run(model, {k: reported_probes(world.seed)[k] for k in RETENTION_PROBES})
    assert min(result.accuracy for result in found.values()) >= 0.95
