"""One thing off at a time; rows that repeat, attention-only models, and where heads look."""

import numpy as np
import pytest
import torch

from lmtutor.chapters.where_it_comes_from import induction
from lmtutor.chapters.where_it_comes_from.exercises import one_layer, skips
from lmtutor.chapters.where_it_comes_from.switches import (
    N_LABELS,
    SWITCHES,
    TASKS,
    label_in_the_weights,
    label_losses,
    labelled_documents,
    learn,
    looks_at_right_labels,
    onset,
    with_known_words,
)
from lmtutor.errors import ConfigError
from lmtutor.models.losses import token_losses
from lmtutor.tinyworld import probes, world as tw
from lmtutor.tinyworld.released import load_checkpoint

# One thing off at a time ------------------------------------------------------------------------------------------

WORLD = tw.World(seed=5)


def test_documents_draw_new_labels_and_are_the_same_for_all():
    rows = labelled_documents(WORLD, seed=1, n=5)
    assert rows.shape == (5, 1 + 3 * N_LABELS)
    words = np.array(WORLD.words)[rows]
    assert set(words[:, 3::3].ravel()) == {";"} and set(words[:, 2::3].ravel()) <= set(WORLD.new_labels)
    assert all(len(set(row[2::3])) <= 2 for row in words)
    assert (rows == labelled_documents(WORLD, seed=1, n=5)).all()


@pytest.mark.parametrize("off", SWITCHES)
def test_each_switch_changes_what_it_names(off):
    kinds = {kind for kind, _ in zip_kinds(SWITCHES[off].stream)}
    assert ("pattern" in kinds) == (off not in ("patterns", "all lists"))
    assert ("echo" in kinds) == (off != "all lists")
    config = SWITCHES[off].model
    assert config.get("num_hidden_layers", 4) == (1 if off in ("depth", "both") else 4)
    assert config.get("smeared_keys", True) == (off not in ("smearing", "both"))


def zip_kinds(stream):
    documents = tw.documents(WORLD, seed=0, **stream)
    return [next(documents) for _ in range(200)]


def test_an_unknown_switch_is_named():
    with pytest.raises(ConfigError, match="nothing called 'rope' can be switched off"):
        learn(0, "rope", 1, [0])


@pytest.mark.long
def test_a_few_steps_with_both_switched_off_end_to_end():
    model, told = learn(5, "both", 2, [0, 2], world=WORLD)
    assert [check["step"] for check in told["curve"]] == [0, 2]
    assert set(told["answers"]) == set(TASKS) and len(told["answers"]["new_labels"]["free"]) == 200
    assert len(told["late_labels"]) == 200 and np.shape(told["without_head"]) == (1, 3, 2)
    first = told["curve"][0]
    assert first["by_label"] == pytest.approx([np.log(len(WORLD.words))] * N_LABELS, abs=1e-3)
    assert first["late_minus_early"] == pytest.approx(0, abs=1e-4)


def test_a_document_has_a_loss_for_each_of_its_labels():
    model, _, world = load_checkpoint()
    rows = labelled_documents(world, seed=1, n=3)
    assert (label_losses(model, rows) == token_losses(model, rows)[:, 1::3]).all() and label_losses(model, rows).shape == (3, N_LABELS)


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
    assert looks_at_right_labels(Stares(), probe)[0, 0] == pytest.approx(1)
    wrong = probes.Probe("p", [[9, 1, 1, 2]], np.array([9]), [[9, 1]], 0.5)
    assert looks_at_right_labels(Stares(), wrong)[0, 0] == pytest.approx(-1)


def test_the_label_in_the_weights_asks_every_item_of_every_class():
    probe = label_in_the_weights(WORLD)
    assert len(probe.prompts) == sum(len(items) for items in WORLD.classes.values())
    assert probe.chance == pytest.approx(1 / 13)


def test_known_words_are_zorvan_words_and_full_stops_in_the_same_places():
    new = probes.build(WORLD, seed=1, n=5, shots=(8,), tasks=("new_labels",))["icl8_new_labels"]
    known = with_known_words(WORLD, new)
    words, foreign = WORLD.words, set(WORLD.zorvan.values())
    for before, after, answer in zip(new.prompts, known.prompts, known.answers):
        moved = [i for i, (a, b) in enumerate(zip(before, after)) if a != b]
        assert moved == [i for i in range(2, 26) if i % 3 != 1]
        assert all(words[after[i]] in foreign for i in range(2, 26, 3)) and all(words[after[i]] == "." for i in range(3, 26, 3))
        assert words[answer] in foreign and answer in after


def test_the_onset_has_to_stay():
    curve = [{"step": s, "forced": {"new_labels": a}} for s, a in ((0, 0.5), (10, 0.95), (20, 0.8), (30, 0.93))]
    assert onset(curve) == 30 and onset(curve, least=0.99) is None


# Attention alone --------------------------------------------------------------------------------------------------


def test_rows_begin_without_repetition_and_then_say_pieces_again():
    rows = induction.repeating_rows(50, seed=0)
    assert rows.ids.shape == (50, induction.LENGTH + 1) and rows.known.shape == (50, induction.LENGTH)
    for ids, known in zip(rows.ids, rows.known):
        first = ids[: induction.FIRST].tolist()
        assert len(set(first)) == induction.FIRST and not known[: induction.FIRST].any()
        for place in np.flatnonzero(known):  # what follows the present token is what followed it in the beginning
            assert first[first.index(ids[place]) + 1] == ids[place + 1]
        runs = np.diff(np.flatnonzero(~known[induction.FIRST - 1 :]))
        assert runs.min() >= induction.PIECE[0] and runs.max() <= induction.PIECE[1]


def test_rows_follow_from_the_seed_and_refuse_lengths_without_room():
    assert (induction.repeating_rows(3, seed=1).ids == induction.repeating_rows(3, seed=1).ids).all()
    assert (induction.repeating_rows(3, seed=1).ids != induction.repeating_rows(3, seed=2).ids).any()
    with pytest.raises(ConfigError, match="allowed is 17 to 64"):
        induction.repeating_rows(3, seed=1, length=16)


def test_models_have_no_mlp_and_can_be_asked():
    model = induction.attention_only(2, smeared=False, seed=0).eval()
    assert not any("mlp" in name for name, _ in model.named_parameters())
    rows = induction.repeating_rows(4, seed=0)
    told = induction.ask(model, rows)
    assert told["first"] == pytest.approx(np.log(induction.VOCABULARY), abs=1e-4)  # the head begins at zero
    assert told["prefix_matching"].shape == told["previous_token"].shape == (2, 4)


class Looks(torch.nn.Module):
    """Stands in for a model: one head that looks at a given place from every place, and says the token there."""

    def __init__(self, where):
        super().__init__()
        self.where, self.weight = where, torch.nn.Parameter(torch.zeros(1))

    def forward(self, ids, output_attentions=True):
        N, T = ids.shape
        at = torch.stack([self.where(row) for row in ids])  # (N, T)
        weights = torch.nn.functional.one_hot(at, T).float()[:, None]
        said = torch.nn.functional.one_hot(ids.gather(1, at), induction.VOCABULARY).float()
        return type("Out", (), {"logits": 20 * said, "attentions": (weights,)})


def behind_the_first_time(row):
    row = row.tolist()
    return torch.tensor([min(row.index(token) + 1, place) for place, token in enumerate(row)])


def test_a_head_that_looks_behind_the_first_time_matches_prefixes_and_is_always_right():
    rows = induction.repeating_rows(20, seed=3)
    told = induction.ask(Looks(behind_the_first_time), rows)
    assert told["prefix_matching"][0, 0] == pytest.approx(1, abs=1e-4) and told["previous_token"][0, 0] < 0.1
    assert induction.accuracy(told, rows) == 1 and told["again"] < 0.01 < told["first"]


def test_a_head_that_looks_one_back_is_named_so_and_is_never_right():
    rows = induction.repeating_rows(20, seed=3)
    told = induction.ask(Looks(lambda row: (torch.arange(len(row)) - 1).clamp(min=0)), rows)
    assert told["previous_token"][0, 0] == pytest.approx(1, abs=1e-4) and told["prefix_matching"][0, 0] < 0.05
    assert induction.accuracy(told, rows) < 0.05


def test_saying_what_was_unsaid_for_longest_is_a_poor_guess():
    assert 0.01 < induction.longest_unsaid(induction.repeating_rows(100, seed=0)).mean() < 0.2


def test_the_first_rank_is_the_token_unsaid_for_longest_and_no_rank_does_well():
    rows = induction.repeating_rows(100, seed=0)
    ranks = induction.right_by_rank(rows)
    assert (ranks[:, 0] == induction.longest_unsaid(rows)).all() and ranks.mean(axis=0).max() < 0.2
    assert ranks[:, -1].max() == 0  # nobody says the present token again


def test_a_few_steps_of_attention_alone_end_to_end():
    model, told = induction.learn(1, True, 0, 4, [0, 4], batch_size=4)
    assert [check["step"] for check in told["curve"]] == [0, 4] and len(told["whole"]) == 200
    named = told["sets"]["prefix_matching"] + told["sets"]["previous_token"]
    assert len(told["sets"]["neither"]) == 4 - len({tuple(h) for h in named})
    assert set(told["one_by_one"]) == {f"0.{head}" for head in range(4)}


def test_a_jump_is_the_first_step_that_stays_above():
    assert induction.jump([0, 10, 20, 30], [0, 0.6, 0.4, 0.7], half=0.5) == 30
    assert induction.jump([0, 10, 20], [0, 0.6, 0.7], half=0.5) == 10
    assert induction.jump([0, 10], [0, 0.1], half=0.5) is None


# Exercises --------------------------------------------------------------------------------------------------------


def head(asks, keys, values):
    scores = 20 * asks @ keys.T
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1) @ values


def circuit(row, n_words, back):
    word, place = torch.nn.functional.one_hot(torch.tensor(row), n_words).float(), torch.eye(len(row))
    note = head(place @ torch.diag(torch.ones(len(row) - back), -back), place, word)
    return head(word, note, word)


def test_a_circuit_that_skips_is_told_from_one_that_does_not():
    assert skips(lambda row, n_words: circuit(row, n_words, 2)) is True
    assert "it still says the very next word" in skips(lambda row, n_words: circuit(row, n_words, 1))
    assert skips(lambda row, n_words: circuit(row, n_words, 3)).startswith("after [0, 3, 1, 4, 2, 5, 3] it says 2, and 4 is right")
    assert "return a row of 7 shares for each of the 7 places" in skips(lambda row, n_words: circuit(row, n_words, 2)[-1])
    assert "the function itself" in skips("moon")


def test_a_circuit_of_one_head_has_to_have_one_head_and_to_look_one_place_on():
    def smeared(row, n_words, head, by=1):
        word = torch.nn.functional.one_hot(torch.tensor(row), n_words).float()
        return head(word, torch.nn.functional.pad(word, (0, 0, by, -by)), word)

    assert one_layer(smeared) is True
    assert "it called head 0 times" in one_layer(lambda row, n_words, head: circuit(row, n_words, 1))
    assert one_layer(lambda row, n_words, head: smeared(row, n_words, head, 2)).startswith("after [0, 3, 1, 4, 2, 5, 3] it says 4, and 1 is right")
