"""Tiny World with something switched off: what is asked, and what counts as the onset."""

import numpy as np
import pytest
import torch

from lmtutor import origins, pretrain, probes
from lmtutor.data import tinyworld as tw
from lmtutor.errors import ConfigError

WORLD = tw.World(seed=5)


def test_documents_draw_new_labels_and_are_the_same_for_all():
    rows = origins.labelled_documents(WORLD, seed=1, n=5)
    assert rows.shape == (5, 1 + 3 * origins.N_LABELS)
    words = np.array(WORLD.words)[rows]
    assert set(words[:, 3::3].ravel()) == {";"} and set(words[:, 2::3].ravel()) <= set(WORLD.new_labels)
    assert all(len(set(row[2::3])) <= 2 for row in words)
    assert (rows == origins.labelled_documents(WORLD, seed=1, n=5)).all()


@pytest.mark.parametrize("off", origins.SWITCHES)
def test_each_switch_changes_what_it_names(off):
    kinds = {kind for kind, _ in zip_kinds(origins.SWITCHES[off].stream)}
    assert ("pattern" in kinds) == (off not in ("patterns", "all lists"))
    assert ("echo" in kinds) == (off != "all lists")
    config = origins.SWITCHES[off].model
    assert config.get("num_hidden_layers", 4) == (1 if off in ("depth", "both") else 4)
    assert config.get("smeared_keys", True) == (off not in ("smearing", "both"))


def zip_kinds(stream):
    documents = tw.documents(WORLD, seed=0, **stream)
    return [next(documents) for _ in range(200)]


def test_an_unknown_switch_is_named():
    with pytest.raises(ConfigError, match="nothing called 'rope' can be switched off"):
        origins.learn(0, "rope", 1, [0])


def test_a_few_steps_end_to_end():
    model, told = origins.learn(5, "both", 2, [0, 2], world=WORLD)
    assert [check["step"] for check in told["curve"]] == [0, 2]
    assert set(told["answers"]) == set(origins.TASKS) and len(told["answers"]["new_labels"]["free"]) == 200
    assert len(told["late_labels"]) == 200 and np.shape(told["without_head"]) == (1, 3, 2)
    first = told["curve"][0]
    assert first["by_label"] == pytest.approx([np.log(len(WORLD.words))] * origins.N_LABELS, abs=1e-3)
    assert first["late_minus_early"] == pytest.approx(0, abs=1e-4)


def test_losses_are_those_of_cross_entropy():
    model, _, world = pretrain.load_checkpoint()
    rows = origins.labelled_documents(world, seed=1, n=3)
    ids = torch.from_numpy(rows)
    with torch.inference_mode():
        expected = torch.log_softmax(model(ids[:, :-1]).logits, -1).gather(-1, ids[:, 1:, None])[..., 0]
    assert origins.losses(model, rows, batch_size=2) == pytest.approx(-expected.numpy(), abs=1e-4)
    assert origins.label_losses(model, rows).shape == (3, origins.N_LABELS)


class Stares(torch.nn.Module):
    """One head that looks at the place before its own."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids, output_attentions=True):
        before = (torch.arange(ids.shape[1]) - 1).clamp(min=0)
        weights = torch.nn.functional.one_hot(before, ids.shape[1]).float().expand(len(ids), 1, -1, -1)
        return type("Out", (), {"attentions": (weights,)})


def test_looks_count_right_labels_less_wrong_ones():
    probe = probes.Probe("p", [[9, 1, 9, 2], [9, 2, 9, 2], [9, 1, 1, 2]], np.array([9, 9, 1]), [[9, 1], [9, 1], [9, 1]], 0.5)
    assert origins.looks_at_right_labels(Stares(), probe)[0, 0] == pytest.approx(1)
    wrong = probes.Probe("p", [[9, 1, 1, 2]], np.array([9]), [[9, 1]], 0.5)
    assert origins.looks_at_right_labels(Stares(), wrong)[0, 0] == pytest.approx(-1)


def test_the_label_in_the_weights_asks_every_item_of_every_class():
    probe = origins.label_in_the_weights(WORLD)
    assert len(probe.prompts) == sum(len(items) for items in WORLD.classes.values())
    assert probe.chance == pytest.approx(1 / 13)


def test_known_words_are_zorvan_words_and_full_stops_in_the_same_places():
    new = probes.build(WORLD, seed=1, n=5, shots=(8,), tasks=("new_labels",))["icl8_new_labels"]
    known = origins.with_known_words(WORLD, new)
    words, foreign = WORLD.words, set(WORLD.zorvan.values())
    for before, after, answer in zip(new.prompts, known.prompts, known.answers):
        moved = [i for i, (a, b) in enumerate(zip(before, after)) if a != b]
        assert moved == [i for i in range(2, 26) if i % 3 != 1]
        assert all(words[after[i]] in foreign for i in range(2, 26, 3)) and all(words[after[i]] == "." for i in range(3, 26, 3))
        assert words[answer] in foreign and answer in after


def test_the_onset_has_to_stay():
    curve = [{"step": s, "forced": {"new_labels": a}} for s, a in ((0, 0.5), (10, 0.95), (20, 0.8), (30, 0.93))]
    assert origins.onset(curve) == 30 and origins.onset(curve, least=0.99) is None
