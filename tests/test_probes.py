"""Probes ask what they say, and score what they should."""

import numpy as np
import pytest
import torch
from transformers.modeling_outputs import CausalLMOutputWithPast

from lmtutor.errors import ConfigError
from lmtutor.models.transformer import TinyConfig, build
from lmtutor.tinyworld import probes, world as tw

WORLD = tw.World(seed=2)


class Oracle(torch.nn.Module):
    """Knows every answer, or every answer but the last probe's; stands in for a model."""

    def __init__(self, asked, wrong=()):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(1))
        self.answers = {tuple(p): (name in wrong, a, c) for name, probe in asked.items()
                        for p, a, c in zip(probe.prompts, probe.answers, probe.choices, strict=True)}

    def forward(self, ids, logits_to_keep=0):
        logits = torch.zeros(len(ids), 1, len(WORLD.words))
        for row, prompt in enumerate(ids.tolist()):
            wrong, answer, choices = self.answers[tuple(prompt)]
            logits[row, 0, next(c for c in choices if c != answer) if wrong else answer] = 5.0
        return CausalLMOutputWithPast(logits=logits)


@pytest.fixture(scope="module")
def asked():
    return probes.build(WORLD, seed=3, n=60, shots=(0, 2, 3, 8))


def test_one_who_knows_gets_everything_right_and_one_who_does_not_nothing(asked):
    results = probes.run(Oracle(asked, wrong=("grammar", "facts")), asked)
    for name, result in results.items():
        if name.startswith(("icl0_", "icl2_", "icl3_")):  # short prompts can be alike and have different answers
            continue
        assert result.accuracy == (0.0 if name in ("grammar", "facts") else 1.0), name


def test_a_model_without_an_opinion_is_at_chance(asked):
    results = probes.run(build(TinyConfig(vocab_size=len(WORLD.words)), seed=0), asked)
    for name in ("grammar", "sentiment", "icl8_new_labels", "deduction_1_step"):
        n, chance = len(results[name].forced), results[name].chance
        # false alarm of four binomial checks at 4.5 sd: below 1 in 30,000; and the seed is fixed
        assert abs(results[name].forced.mean() - chance) < 4.5 * np.sqrt(chance * (1 - chance) / n), name


def test_the_same_seed_asks_the_same_questions():
    one, two, other = (probes.build(WORLD, seed=s, n=20) for s in (1, 1, 2))
    assert all(one[k].prompts == two[k].prompts for k in one)
    assert one["grammar"].prompts != other["grammar"].prompts


def test_demonstrations_are_balanced_and_never_hold_the_query(asked):
    words = WORLD.words
    for name, probe in asked.items():
        if not name.startswith(("icl2", "icl8")):
            continue
        k = int(name[3])
        for prompt, answer, choices in zip(probe.prompts, probe.answers, probe.choices, strict=True):
            said = [words[i] for i in prompt[1:]]
            items, labels = said[:-1:3], said[1:-1:3]
            assert len(items) == k and said[-2] == ";" and said[-1] not in items
            assert sorted(labels.count(words[c]) for c in choices) == [k // 2, k // 2]
            assert answer in choices


def test_the_right_answer_is_not_always_in_the_same_place(asked):
    for name in ("grammar", "sentiment", "icl8_new_labels"):
        places = [c.index(a) for a, c in zip(asked[name].answers, asked[name].choices, strict=True)]
        assert 0.25 < np.mean(places) < 0.75, name


def test_facts_cover_every_person_and_attribute(asked):
    assert len(asked["facts"].prompts) == 80 * 4
    assert asked["facts"].chance == pytest.approx(np.mean([1 / 16, 1 / 12, 1 / 12, 1 / 12]))


def test_summary_keeps_both_scores_of_a_forced_choice(asked):
    summary = probes.summary(probes.run(Oracle(asked), asked))
    assert summary["grammar"] == summary["grammar_free"] == 1.0
    assert "facts_free" not in summary  # free is what is reported first there


def test_repeated_tokens_sees_a_copying_head():
    class Copier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.nothing = torch.nn.Parameter(torch.zeros(1))

        def forward(self, ids, output_attentions):
            T = ids.shape[1]
            logits, attention = torch.zeros(len(ids), T, 701), torch.zeros(len(ids), 1, T, T)
            for b, row in enumerate(ids.tolist()):
                for t, token in enumerate(row):
                    if token in row[:t]:
                        back = row.index(token) + 1
                        logits[b, t, row[back]] = 1
                        attention[b, 0, t, back] = 1
            return CausalLMOutputWithPast(logits=logits, attentions=(attention,))

    found = probes.repeated_tokens(Copier(), 701, seed=0)
    assert found["copying"] == 1.0 and found["prefix_matching"].tolist() == [[1.0]]


@pytest.mark.parametrize("settings, message", [
    (dict(tasks=("poetry",)), r"no in-context task is called \['poetry'\]; choose from"),
    (dict(n=0), "n is 0, allowed is 1 or more questions"),
])
def test_bad_arguments_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        probes.build(WORLD, seed=0, **settings)


def test_a_key_value_list_gives_each_item_a_label_of_its_own_and_asks_for_the_one_so_far_back():
    near, far = (probes.key_value(WORLD, seed=1, back=back, n=5) for back in (3, 40))
    for a, b, answer in zip(near.prompts, far.prompts, far.answers, strict=True):
        assert a[:-1] == b[:-1] and len(b) == 128  # the same lists
        assert len(set(b[1:-1:3])) == len(set(b[2:-1:3])) == 42
        assert b[-1 - 3 * 40] == b[-1] and b[-3 * 40] == answer
    assert all(answer in chosen and len(set(chosen)) == 42 for answer, chosen in zip(far.answers, far.choices, strict=True))
    assert probes.run(Oracle({"key_value": far}), {"key_value": far})["key_value"].accuracy == 1


@pytest.mark.parametrize("settings, message", [
    (dict(back=43), "back is 43, allowed is 1 to 42"),
    (dict(back=1, pairs=161), "pairs is 161, allowed is 2 to 160"),
])
def test_a_pair_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        probes.key_value(WORLD, seed=1, **settings)


def speaking_model():
    model, generator = build(TinyConfig(vocab_size=len(WORLD.words), num_hidden_layers=2), seed=0).eval(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    return model


@torch.no_grad()
def test_a_silenced_head_is_one_whose_columns_of_the_output_matrix_are_zero_and_it_comes_back():
    model, ids = speaking_model(), torch.arange(1, 31)[None]
    before = model(ids).logits
    with probes.without_heads(model, [(1, 2)]):
        silenced = model(ids).logits
    assert torch.equal(model(ids).logits, before) and not torch.allclose(silenced, before)
    model.model.layers[1].self_attn.o_proj.weight[:, 64:96] = 0
    assert torch.allclose(model(ids).logits, silenced, atol=1e-5)


@torch.no_grad()
def test_a_head_replaced_by_its_mean_changes_nothing_where_it_always_says_the_same():
    model, ids = speaking_model(), torch.full((2, 1), 7)  # one position, twice the same word
    before, means = model(ids).logits, probes.head_means(model, ids)
    assert means.shape == (2, 96)
    with probes.without_heads(model, [(0, 0), (1, 2)], means=means):
        assert torch.allclose(model(ids).logits, before, atol=1e-5)


def test_a_head_that_is_not_there_is_named_and_no_hook_stays():
    model = speaking_model()
    with pytest.raises(ConfigError, match=r"no head \(2, 0\); the model has 2 layers of 3 heads"):
        with probes.without_heads(model, [(0, 0), (2, 0)]):
            pass
    assert not any(block.self_attn.o_proj._forward_pre_hooks for block in model.model.layers)
