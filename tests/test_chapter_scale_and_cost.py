"""Scaling: the text that a run reads, what is measured on it, and the law that is fitted to the runs."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lmtutor.chapters.scale_and_cost import exercises, scaling, speed
from lmtutor.chapters.scale_and_cost.scaling import (
    Law, fit_law, fit_line, matrix_weights, ngram_losses, predict,
)
from lmtutor.errors import ConfigError, DataError
from lmtutor.measure import costs
from lmtutor.models.transformer import build
from lmtutor.pretrain.news import (
    CONTEXT, PROMPT, News, article_losses, by_article, by_lot, fresh_rows,
    memorised_tokens, rows_with_copies, sized,
)

EOS = 0


@pytest.fixture
def news():
    """40 made-up articles of 100 to 400 tokens."""
    rng = np.random.default_rng(0)
    articles = [np.array([EOS, *rng.integers(1, 500, rng.integers(100, 400))], dtype=np.uint16) for _ in range(40)]
    return News(SimpleNamespace(eos_token_id=EOS), {"train": [""] * 40}, {"train": np.concatenate(articles)})


def test_articles_come_back_whole(news):
    articles = by_article(news, "train")
    assert len(articles) == 40 and all(ids[0] == EOS and EOS not in ids[1:] for ids in articles)
    assert np.array_equal(np.concatenate(articles), news.ids["train"])


def test_a_smaller_budget_is_part_of_a_larger_one(news):
    few, many = (fresh_rows(news, n, seed=3) for n in (8, 32))
    assert np.array_equal(few, many[:8])
    assert not np.array_equal(many, fresh_rows(news, 32, seed=4))
    with pytest.raises(DataError, match="9999 rows were asked for, the training articles have"):
        fresh_rows(news, 9999, seed=0)


def test_marked_articles_stand_in_the_text_as_often_as_asked(news):
    marked = by_lot(news, "train", 4, seed=0)
    # enough rows that nothing is cut off: all articles that are left fill them
    length = sum(map(len, by_article(news, "train"))) - len(marked[0]) + len(marked[2]) * 3 + len(marked[3]) * 15
    rows = rows_with_copies(news, marked, (0, 1, 4, 16), length // (CONTEXT + 1), seed=1)
    text = rows.tobytes()
    lost = 1  # the rest that fills no row may cut one copy
    for ids, times in zip(marked, (0, 1, 4, 16), strict=True):
        assert times - lost <= text.count(ids.tobytes()) <= times


def test_an_articles_loss_is_the_mean_over_its_own_rows(news):
    model = build(sized(24), seed=0).eval()
    torch.nn.init.normal_(model.lm_head.weight, std=0.5)
    articles = by_lot(news, "train", 5, seed=0)
    together = article_losses(model, articles)
    alone = [float(article_losses(model, [ids])[0]) for ids in articles]
    assert np.allclose(together, alone, atol=1e-4) and len(set(alone)) == 5


def test_a_continuation_counts_until_the_first_difference(news):
    """A head of zeros always says token 0, so only zeros are recited."""
    model = build(sized(24), seed=0).eval()
    zeros, ends = np.zeros(64, dtype=np.uint16), np.zeros(64, dtype=np.uint16)
    ends[PROMPT + 5] = 7
    assert memorised_tokens(model, [zeros, ends, np.ones(64, dtype=np.uint16)]).tolist() == [32, 5, 0]


def test_ngrams_share_out_a_whole_probability(monkeypatch):
    monkeypatch.setattr(scaling, "VOCABULARY", 6)
    monkeypatch.setattr(scaling, "CONTEXT", 2)
    ids = np.random.default_rng(0).integers(0, 5, 60)
    pairs = [np.array([1, second, third]) for second in range(6) for third in range(6)]
    for order in (1, 2, 3):
        assert np.exp(-2 * ngram_losses(ids, pairs, order)).sum() == pytest.approx(1)


def test_a_bigram_beats_a_unigram_on_text_that_alternates():
    ids = np.tile([3, 4], 600)
    article = [np.tile([3, 4], 65)]
    unigram, bigram = (ngram_losses(ids, article, order)[0] for order in (1, 2))
    assert bigram < 0.05 < 0.6 < unigram
    with pytest.raises(ConfigError, match="order is 0; give 1 for a unigram"):
        ngram_losses(ids, article, 0)


N = np.repeat([7e4, 2e5, 6e5], 3)
D = np.tile([1e5, 2e5, 4e5], 3)


def test_the_law_is_found_again_from_its_own_losses():
    law = Law(3.0, 0.5, 0.4, 1.5, 0.35, (7e4, 1e5))
    found = fit_law(N, D, law(N, D))
    assert found(1e6, 8e5) == pytest.approx(law(1e6, 8e5), abs=0.01)
    with pytest.raises(DataError, match="5 runs cannot carry five numbers; give at least 6"):
        fit_law(N[:5], D[:5], law(N, D)[:5])


def test_a_prediction_without_noise_has_no_width_and_one_with_noise_covers_the_truth():
    line = lambda n, d: 9 - 0.1 * np.log(n) - 0.3 * np.log(d)  # noqa: E731
    losses = np.tile(line(N, D)[:, None], 3)
    told = predict(fit_line, N, D, losses, (1e6, 8e5), seed=0, resamples=50)
    assert np.ptp(told) < 1e-9 and told[0] == pytest.approx(line(1e6, 8e5))
    noisy = losses + np.random.default_rng(0).normal(0, 0.02, losses.shape)
    low, high = np.quantile(predict(fit_line, N, D, noisy, (1e6, 8e5), seed=0), [0.005, 0.995])
    assert low < line(1e6, 8e5) < high


def test_weights_are_those_that_tokens_are_multiplied_with():
    model = build(sized(48), seed=0)
    matrices = [p.numel() for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    assert matrix_weights(costs.Shape.of(model.config)) == sum(matrices)


def test_a_width_that_does_not_split_into_heads_is_refused():
    with pytest.raises(ConfigError, match="width is 50; choose a multiple of 24"):
        sized(50)


@pytest.mark.parametrize("seconds, words", [
    (0, "0 seconds"), (0.046, "0.046 seconds"), (36, "36 seconds"), (5400, "1.5 hours"), (3 * 86400, "3 days"),
    (359_407 * 365 * 86400, "360,000 years"), (1.13e6 * 365 * 86400, "1.1 million years"),
])  # fmt: skip
def test_a_time_is_told_in_its_largest_unit_with_two_figures(seconds, words):
    assert speed.duration(seconds) == words


def test_a_time_below_zero_is_refused():
    for seconds in (-1, float("nan")):
        with pytest.raises(ConfigError, match="a time is 0 or more"):
            speed.duration(seconds)


def test_the_speed_of_training_is_what_was_counted_over_what_it_took_at_best(news, monkeypatch):
    took = iter([2.0, 0.5, 9.0])
    monkeypatch.setattr(speed, "read_news", lambda size: news)
    monkeypatch.setattr(speed, "pretrain_news", lambda *_, **__: (None, SimpleNamespace(tokens=5 * CONTEXT, seconds=next(took))))
    a_row = costs.training_flops(costs.Shape.of(sized(24)), CONTEXT, outputs=CONTEXT)
    assert speed.training_speed(24, steps=2) == pytest.approx(5 * a_row / 0.5)


def years(weights, tokens, flops_a_second):
    return 6 * weights * tokens / flops_a_second / (365 * 24 * 3600)


@pytest.mark.parametrize("answer, said", [
    (years, True), (lambda n, d, s: years(n, d, s) * 365 / 365.25, True), (3.0, "give the function itself"),
    (lambda n, d, s: 6 * n * d / s, "that is in seconds"), (lambda n, d, s: 6 * n * d / s / 3600, "that is in hours"),
    (lambda n, d, s: years(n, d, s) / 3, "count the way back too"), (lambda n, d, s: s, "first the FLOPs, then the seconds"),
])  # fmt: skip
def test_a_function_to_years_is_told_its_usual_mistakes(answer, said):
    verdict = exercises.years_of_training(answer)
    assert verdict is True if said is True else said in verdict


def test_a_model_of_another_width_is_told_so_before_it_is_asked(news):
    assert exercises.asked_of(build(sized(24), seed=0), 48) == "its width is 24; the exercise asks for model=sized(48)"
    assert "give the model" in exercises.lowest_rate(5.9) and "give two models" in exercises.read_again(5.9)


def test_two_models_have_to_differ_by_what_was_read_again(monkeypatch):
    """(held out, rows of the exercise, rows behind them)"""
    def say(once, again):
        found = iter([once, again])
        monkeypatch.setattr(exercises, "asked_of", lambda model, width: next(found))
        return exercises.read_again((None, None))

    assert say((6.2, 6.1, 6.2), (5.6, 4.9, 5.6)) is True
    assert "settings(832, 0.03) makes four readings" in say((6.2, 6.1, 6.2), (6.2, 6.1, 6.2))
    assert "it has read new text" in say((6.2, 6.1, 6.2), (5.4, 5.2, 5.2))
    assert "nearly what knowing nothing costs" in say((7.6, 7.6, 7.6), (5.6, 4.9, 5.6))


def test_a_plan_has_to_keep_to_the_budget_and_near_the_law_s_best():
    assert exercises.plan_for_a_budget((7e4, 1e13 / 6 / 7e4)) is True
    assert "6ND is" in exercises.plan_for_a_budget((7e4, 1e9))
    assert "weights first" in exercises.plan_for_a_budget((2.4e7, 7e4))
    assert "D follows from it" in exercises.plan_for_a_budget((1e7, 1e13 / 6 / 1e7))
    assert "FLOPs left" in exercises.plan_for_a_budget((7e4, 1e6))
