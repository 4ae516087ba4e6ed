"""Lines and hidden Markov worlds: known predictors and exact readers against brute force, and a model that cannot look ahead."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from lmtutor.chapters.learning_inside_the_prompt import exercises, hmm, lines, moving, plane, regression
from lmtutor.classroom import stepping
from lmtutor.errors import ConfigError, DataError
from lmtutor.models.losses import token_losses

# Lines ------------------------------------------------------------------------------------------------------------

SMALL = regression.problems(20, seed=5, noise=0.5)


def by_hand(given, fit):
    """What a predictor says when a line is fitted anew for every prompt and number of points."""
    said = np.zeros_like(given.y)
    for i in range(len(given.y)):
        for n in range(1, given.y.shape[1]):
            said[i, n] = given.x[i, n] @ fit(given.x[i, :n], given.y[i, :n])
    return said


def test_least_squares_is_numpys_shortest_solution():
    wanted = by_hand(SMALL, lambda x, y: np.linalg.lstsq(x, y, rcond=None)[0])
    assert np.allclose(regression.ridge(SMALL, 0.0), wanted, atol=1e-6)


def test_ridge_is_least_squares_with_rows_added():
    def fit(x, y):
        return np.linalg.lstsq(np.r_[x, np.sqrt(0.25) * np.eye(regression.D)], np.r_[y, np.zeros(regression.D)], rcond=None)[0]
    assert np.allclose(regression.ridge(SMALL, 0.25), by_hand(SMALL, fit), atol=1e-8)


def test_averaging_is_one_gradient_step_and_many_steps_arrive_at_least_squares():
    assert np.allclose(regression.averaging(SMALL), by_hand(SMALL, lambda x, y: (y[:, None] * x).mean(axis=0)))
    clean = regression.problems(20, seed=6)
    far = regression.descent(clean, np.full(regression.POINTS, 0.02), steps=20_000)
    assert np.allclose(far[:, [2, 11]], regression.ridge(clean, 0.0)[:, [2, 11]], atol=0.05)


def test_the_nearest_point_repeats_its_y():
    given = regression.problems(5, seed=7)
    said = regression.nearest(given, np.ones(regression.POINTS, dtype=int))
    place = ((given.x[:, :6] - given.x[:, 6:7]) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(said[:, 6], given.y[np.arange(5), place]) and not said[:, 0].any()


def test_without_noise_least_squares_is_exact_from_d_points_on_whatever_the_inputs():
    for shift in regression.SHIFTS:
        given = regression.problems(2000, seed=8, shift=shift)
        errors = regression.error(regression.ridge(given, 0.0), given).mean(axis=0)
        assert errors[regression.D :].max() < 1e-8, shift
        assert 0.9 < regression.error(regression.zero(given), given).mean() < 1.1, shift


def test_with_noise_ridge_of_its_variance_is_better_than_more_and_less():
    given = regression.problems(4000, seed=9, noise=0.5)
    errors = [regression.error(regression.ridge(given, s), given)[:, 5].mean() for s in (0.05, 0.25, 1.0)]
    assert errors[1] == min(errors)


def test_one_who_knows_the_tasks_beats_ridge_on_them_and_loses_on_others():
    tasks = regression.pool(4, 0)
    own, new = regression.problems(500, seed=10, noise=0.5, tasks=tasks), regression.problems(500, seed=11, noise=0.5)
    score = lambda rule, given: regression.error(rule(given), given)[:, 8].mean()  # noqa: E731
    knows, fits = lambda given: regression.known_tasks(given, tasks, 0.5), lambda given: regression.ridge(given, 0.25)
    assert score(knows, own) < score(fits, own) and score(knows, new) > 3 * score(fits, new)


def test_known_tasks_weighs_by_likelihood():
    given = regression.problems(3, seed=12, noise=0.5)
    tasks = regression.pool(2, 1)
    squares = ((given.y[0, :5, None] - given.x[0, :5] @ tasks.T) ** 2).sum(axis=0)
    weights = np.exp(-squares / 0.5) / np.exp(-squares / 0.5).sum()
    assert np.isclose(regression.known_tasks(given, tasks, 0.5)[0, 5], weights @ (tasks @ given.x[0, 5]))


def test_an_unknown_shift_is_refused():
    with pytest.raises(ConfigError, match="choose one of as trained"):
        regression.problems(2, seed=0, shift="inputs x3")


def test_prompts_for_training_tuning_and_test_are_not_the_same():
    seeds = (regression.TRAINING, 0, 0), (regression.TRAINING, 0, 1), (regression.TUNING, 0), (regression.TUNING, 1)
    drawn = [regression.problems(4, seed=seed).x for seed in seeds]
    drawn.append(regression.test_prompts().x[:4])
    assert len({a.tobytes() for a in drawn}) == len(drawn)
    assert np.array_equal(regression.test_prompts().x, regression.test_prompts().x)


def test_the_model_begins_at_zero_and_never_sees_the_y_it_is_asked_for():
    model = regression.new_model(seed=0)
    x, y = regression.as_tensors(model, SMALL)
    assert not model(x, y).any()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    before = model(x, y)
    changed = y.clone()
    changed[:, 6:] += 1
    after = model(x, changed)
    assert torch.allclose(before[:, :7], after[:, :7], atol=1e-5) and not torch.allclose(before[:, 7:], after[:, 7:], atol=1e-3)


def test_a_few_steps_beat_zero_and_leave_the_global_random_state_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    model = regression.new_model(seed=0, layers=1)
    history = regression.fit(model, steps=120, seed=0)
    assert np.mean(history.loss[-10:]) < 0.9 * np.mean(history.loss[:10])
    assert torch.equal(state, torch.get_rng_state())


def test_settings_are_tuned_on_other_prompts_and_reach_inside_the_grid():
    settings = regression.tuned(0.0)
    rates = settings["descent 1"][2:]
    assert (0.003 < rates).all() and (rates < 1).all() and (np.diff(rates) <= 0).all()
    assert set(regression.predictors(0.0)) | {"ridge"} == set(regression.predictors(0.5))


@pytest.mark.long
def test_a_record_of_lines_in_miniature_holds_what_the_chapter_reads(monkeypatch):
    monkeypatch.setattr(regression, "N_TEST", 6)
    found = regression.learn(3, 0.0, 0, 0, 2)
    assert list(found["kinds"]) == list(regression.SHIFTS) and len(found["longer"]) == regression.N_LONG
    assert list(found["kinds"]["as trained"]["said"]) == ["2", "4", "8"] and len(found["kinds"]["inputs x2"]["said"]["8"]) == 6
    assert [c["step"] for c in found["checks"]] == [0, 2] and found["checks"][0]["error"][0] > 0.5
    pooled = regression.learn(3, 0.5, 4, 0, 1)
    assert list(pooled["kinds"]) == ["as trained", "its own lines"]


# Lines in a plane, and what was recorded ---------------------------------------------------------------------------


def test_in_a_plane_the_known_rules_are_those_of_slope_and_offset():
    given = plane.in_plane(20, seed=1)
    assert (given.x[..., 1] == 1).all() and not given.x[..., 2:].any()
    wanted = np.polyfit(given.x[0, :8, 0], given.y[0, :8], 1) @ given.x[0, 8, :2]
    assert np.isclose(regression.ridge(given, 0.0)[0, 8], wanted, atol=1e-6)
    lines_of_ridge = moving.weights_of(plane.known_rules()["ridge"], given)
    assert np.isclose(lines_of_ridge[3, 6] @ given.x[3, 6, :2], regression.ridge(given, plane.NOISE**2)[3, 6])


def test_answers_are_drawn_for_the_points_before_and_none_after():
    given, rule = plane.in_plane(3, seed=2), plane.known_rules()["ridge"]
    curves = plane.drawn(rule, given, 5)
    assert curves.shape == (3, len(plane.GRID)) and np.allclose(np.diff(curves, 2, axis=1), 0, atol=1e-6)
    later = replace(given, y=given.y + np.where(np.arange(regression.POINTS) >= 5, 1.0, 0.0))
    assert np.array_equal(curves, plane.drawn(rule, later, 5)) and not np.allclose(curves, plane.drawn(rule, later, 6))


@pytest.mark.long
def test_a_record_of_the_plane_in_miniature_holds_what_the_picture_draws(monkeypatch):
    monkeypatch.setattr(plane, "N_TEST", 5)
    found = plane.learn(4, 0, 2, 2)
    assert np.shape(found["curves"]) == (regression.POINTS, 2, len(plane.GRID)) and len(found["own"]) == regression.POINTS
    assert set(found["apart"]) == {*plane.known_rules(), "best guess"} and plane.learn(0, 1, 1, 1)["curves"] == []


def test_an_interval_of_errors_stays_above_zero_and_holds_their_mean():
    errors = np.random.default_rng(0).exponential(size=(3, 400)) * np.array([[0.001], [0.004], [0.001]])
    found = lines.error_interval(errors)
    assert 0 < found.low < errors.mean() < found.high and found.at(0.99).low < found.low and found.seeds == 3
    assert np.isclose(found.high / found.estimate, found.estimate / found.low)
    assert lines.error_in_words(errors).startswith("0.00")
    for bad in (errors[:1], -errors, 0 * errors):
        with pytest.raises(DataError, match="squared errors"):
            lines.error_interval(bad)


def test_what_was_recorded_of_lines_is_found_by_kind():
    assert len(lines.arm()) == len(lines.arm(layers=1)) == len(lines.arm(noise=lines.NOISE)) == 5
    assert [len(lines.arm(noise=lines.NOISE, lines=size)) for size in lines.SIZES] == [8, 5, 3, 3]
    assert lines.says(lines.arm(), 8).shape == (5, regression.N_TEST)
    given = regression.test_prompts()
    least = regression.predictors(0.0)
    assert lines.nearer("least squares", "1 step", least["least squares"](given)[:, 2], least, given, 2).mean() > 0.99


def test_a_picture_with_a_slider_stands_still_without_a_script(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **more: shown.append(data))
    panel = stepping.Panel(100, 50, "<g/>", {"one": ["<g class='a'/>", '<g class="b"/>', "<g/>"], "two": ["", "", ""]})
    stepping.stepped([panel], own="p", alt="Something moves.", slider="points", still=1, pick="line", switches=[stepping.Switch("b", "bee", "red")])
    html = shown[0]["text/html"]
    assert shown[0]["text/plain"] == "Something moves." and 'aria-label="Something moves."' in html
    assert '<g data-frame="0-1">' in html and html.count("data-frame") == 6 + html.count("[data-frame]") + html.count('"data-frame"')
    assert '<g class="b" style="display: none"/>' in html and "http" not in html.replace('xmlns="http://www.w3.org/2000/svg"', "")
    for bad in ({"panels": []}, {"still": 3}):
        with pytest.raises(ConfigError):
            stepping.stepped(**{"panels": [panel], "own": "p", "alt": "a", "slider": "s", "still": 1} | bad)


def test_beliefs_are_those_of_the_exact_readers():
    world = hmm.World(seed=0)
    given = hmm.prompts(world, 3, 2, 3, seed=3)
    of_documents, of_prompts = moving.beliefs(world, given)
    assert np.allclose(of_documents[-1], hmm.reader_of_documents(world, given.ids).concepts[0])
    assert np.allclose(of_prompts[-1], hmm.reader_of_prompts(world, given).concepts[0])
    assert np.array_equal(of_prompts[4], of_prompts[3]) and not np.array_equal(of_documents[4], of_documents[3])


def test_usual_mistakes_get_a_hint_of_their_own():
    assert exercises.ridge_in_one_dimension(lambda x, y, s: x @ y / (x @ x + s)) is True
    assert "least squares" in exercises.ridge_in_one_dimension(lambda x, y, s: x @ y / (x @ x))

    def chances(x, y, known, noise, times=0.5, shared=True):
        weights = np.exp(-times * ((y[:, None] - x @ known.T) ** 2).sum(axis=0) / noise**2)
        return weights / weights.sum() if shared else weights
    assert exercises.chances_of_lines(chances) is True
    assert "add up" in exercises.chances_of_lines(lambda *a: chances(*a, shared=False))
    assert "sign" in exercises.chances_of_lines(lambda *a: chances(*a, times=-0.5))
    assert "2 noise" in exercises.chances_of_lines(lambda *a: chances(*a, times=1.0))
    right = exercises.nearer_to_ridge()
    assert exercises.fits_its_own(right) is True and "other way" in exercises.fits_its_own(~right)


# Hidden Markov worlds ---------------------------------------------------------------------------------------------

TINY = hmm.World(seed=1, n_concepts=2, n_unseen=1, n_entities=2, n_properties=3, n_words=4)
WORLD = hmm.World(seed=3)


def brute_force(world, ids, concept, first):
    """p(ids) and p(ids, next word) by adding up every walk of hidden states."""
    states = list(product(range(world.n_entities), range(world.n_properties)))
    keep = world.stay * np.eye(world.n_entities) + (1 - world.stay) / world.n_entities
    total, nexts = 0.0, np.zeros(world.n_words)
    for way in product(states, repeat=len(ids)):
        if any(world.words[s] != w for s, w in zip(way, ids, strict=True)):
            continue
        p = first[way[0][1]] / world.n_entities
        for (e, q), (f, r) in zip(way, way[1:]):
            p *= keep[e, f] * world.moves[concept][q, r]
        total += p
        e, q = way[-1]
        for f, r in states:
            nexts[world.words[f, r]] += p * keep[e, f] * world.moves[concept][q, r]
    return total, nexts


def test_the_forward_algorithm_adds_up_every_walk():
    ids = hmm.documents(TINY, 6, 5, seed=0)
    first = np.full(3, 1 / 3)
    log_p, state = hmm.after(TINY, ids, TINY.moves[[1]], first[None])
    for row, logs, words in zip(ids, log_p, hmm.next_words(TINY, state), strict=True):
        total, nexts = brute_force(TINY, row, 1, first)
        if total > 0:
            assert np.isclose(logs.sum(), np.log(total)) and np.allclose(words, nexts / total)


def test_the_reader_of_documents_is_bayes_rule_over_concepts():
    ids = hmm.documents(TINY, 5, 4, seed=1)
    read = hmm.reader_of_documents(TINY, ids)
    for i, row in enumerate(ids):
        each = [brute_force(TINY, row, c, np.full(3, 1 / 3)) for c in TINY.seen]
        totals = np.array([t for t, _ in each])
        assert np.allclose(read.concepts[i], totals / totals.sum())
        assert np.allclose(read.words[i], sum(n for _, n in each) / totals.sum())


def test_the_backward_algorithm_agrees_with_the_forward_one():
    ids = hmm.documents(WORLD, 7, 6, seed=2)
    found = hmm.evidence(WORLD, ids, WORLD.moves[[2]])
    for start in range(WORLD.n_properties):
        log_p, _ = hmm.after(WORLD, ids, WORLD.moves[[2]], np.eye(WORLD.n_properties)[[start]])
        wanted = np.where(np.isfinite(log_p).all(axis=1), np.where(np.isfinite(log_p), log_p, 0).sum(axis=1), -np.inf)
        assert np.allclose(found[:, start], wanted)


def test_the_reader_of_prompts_weighs_every_concept_and_start():
    given = hmm.prompts(TINY, 4, 2, 3, seed=0)
    read = hmm.reader_of_prompts(TINY, given)
    for i in range(4):
        weights, nexts = [], []
        for concept in TINY.seen:
            for start in range(1, 3):
                first = np.eye(3)[start]
                p = np.prod([brute_force(TINY, example[:-1], concept, first)[0] for example in given.examples[i]])
                asked, words = brute_force(TINY, given.question[i], concept, first)
                weights.append(p * asked)
                nexts.append(words / max(asked, 1e-300))
        assert np.allclose(read.words[i], np.average(nexts, axis=0, weights=weights))


def test_orders_mean_nothing_to_the_reader_of_prompts_and_something_to_the_reader_of_documents():
    given = hmm.in_all_orders(WORLD, 5, 3, seed=0)
    for_prompts = hmm.reader_of_prompts(WORLD, given).words.reshape(24, 5, -1)
    for_documents = hmm.reader_of_documents(WORLD, given.ids).words.reshape(24, 5, -1)
    assert np.allclose(for_prompts, for_prompts[:1]) and not np.allclose(for_documents, for_documents[:1])


def test_the_learner_finds_a_concept_that_no_reader_knows():
    asked = {n: hmm.prompts(WORLD, 60, n, 8, seed=0, concepts=WORLD.unseen) for n in (0, 8)}
    right = {n: (hmm.learner(WORLD, given).argmax(axis=1) == given.labels).mean() for n, given in asked.items()}
    known = (hmm.reader_of_documents(WORLD, asked[8].ids).words.argmax(axis=1) == asked[8].labels).mean()
    assert right[8] > right[0] + 0.15 and right[8] > known + 0.3


def test_the_learner_with_no_round_knows_nothing_and_never_what_is_asked():
    given = hmm.prompts(WORLD, 5, 2, 4, seed=0)
    blind = hmm.learner(WORLD, given, rounds=0)
    counts = np.bincount(WORLD.words.ravel(), minlength=WORLD.n_words)
    assert np.allclose(blind.sum(axis=1), 1) and ((blind > 0) == (counts > 0)).all()
    other = replace(given, labels=given.labels[::-1], concepts=given.concepts[::-1])
    assert np.array_equal(hmm.learner(WORLD, given, rounds=3), hmm.learner(WORLD, other, rounds=3))


def test_no_model_can_have_a_lower_loss_than_the_reader_of_documents():
    ids = hmm.documents(WORLD, 200, 60, seed=4)
    least = hmm.loss_of_reader(WORLD, ids).mean()
    for concept in WORLD.seen:  # readers that reckon with one concept alone
        assert -hmm.after(WORLD, ids, WORLD.moves[[concept]], hmm.evenly(WORLD))[0][:, 1:].mean() > least
    one = hmm.documents(WORLD, 200, 60, seed=4, concepts=[0])
    assert hmm.reader_of_documents(WORLD, one).concepts[:, 0].mean() > 0.95


def test_a_world_is_told_by_its_seed_and_moves_keep_every_property_as_common():
    again = hmm.World(seed=3)
    assert np.array_equal(WORLD.words, again.words) and np.array_equal(WORLD.moves, again.moves)
    assert WORLD.moves.shape == (10, 10, 10) and np.allclose(WORLD.moves.sum(axis=1), 1) and np.allclose(WORLD.moves.sum(axis=2), 1)
    assert (WORLD.moves > 0).all() and not np.allclose(WORLD.moves[0], WORLD.moves[1])
    assert (WORLD.words[:, 0] == hmm.DELIMITER).all() and (WORLD.words[:, 1:] != hmm.DELIMITER).all()


def test_walks_follow_the_chances():
    random = np.random.default_rng(0)
    chosen = hmm.draw(random, np.tile([[0.2, 0.5, 0.3]], (20_000, 1)))
    assert np.allclose(np.bincount(chosen) / 20_000, [0.2, 0.5, 0.3], atol=0.02)
    ids = hmm.documents(TINY, 4000, 2, seed=5, concepts=[2])
    counts = np.zeros((4, 4))
    np.add.at(counts, (ids[:, 0], ids[:, 1]), 1)
    for word in np.unique(ids[:, 0]):
        wanted = hmm.reader_of_documents(TINY, np.array([[word]]), concepts=[2]).words[0]
        assert np.allclose(counts[word] / counts[word].sum(), wanted, atol=0.06)


def test_a_prompt_has_its_form_and_its_examples_begin_alike():
    given = hmm.prompts(WORLD, 50, 4, 5, seed=0)
    assert given.ids.shape == (50, 4 * 6 + 4) and given.examples.shape == (50, 4, 6) and given.question.shape == (50, 4)
    assert (given.examples[:, :, -1] == hmm.DELIMITER).all()
    for row, start in zip(given.examples, given.starts, strict=True):
        assert set(row[:, 0]) <= set(WORLD.words[:, start])
    for bad in ({"n": 2, "k": 1}, {"n": -1, "k": 3}):
        with pytest.raises(ConfigError, match="2 words or more"):
            hmm.prompts(WORLD, 5, **bad, seed=0)


def test_unseen_concepts_write_no_document():
    assert not set(WORLD.seen) & set(WORLD.unseen)
    ids = hmm.documents(WORLD, 300, 40, seed=6)
    everyone = hmm.reader_of_documents(WORLD, ids, concepts=range(10)).concepts
    assert everyone[:, 5:].sum(axis=1).mean() < 0.02


def test_shuffling_moves_last_words_among_the_examples_and_touches_nothing_else():
    given = hmm.prompts(WORLD, 30, 8, 3, seed=0)
    other = hmm.shuffled(given, seed=0)
    assert np.array_equal(other.question, given.question) and np.array_equal(other.examples[..., :2], given.examples[..., :2])
    assert np.array_equal(np.sort(other.examples[..., 2]), np.sort(given.examples[..., 2]))
    assert (other.ids != given.ids).any(axis=1).mean() > 0.8


def test_steered_questions_have_two_answers_and_the_reader_of_prompts_follows_the_examples():
    given, own = hmm.steered(WORLD, 60, 8, 3, seed=0)
    assert (given.labels != own).all()
    said = hmm.reader_of_prompts(WORLD, given).words.argmax(axis=1)
    assert (said == given.labels).mean() > 0.9
    with pytest.raises(DataError, match="another world"):
        hmm.steered(hmm.World(seed=0, leak=1.0), 50, 1, 3, seed=0)  # all concepts move alike


def test_the_copier_takes_the_latest_of_the_longest():
    ids = np.array([[5, 1, 2, 7, 9, 2, 8, 1, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9], [2, 3, 2, 4, 1, 1, 1, 1, 2]])
    assert hmm.copier(ids, np.full(3, 0)).tolist() == [7, 0, 4]


def test_impossible_words_are_named():
    with pytest.raises(DataError, match="impossible under every concept"):
        hmm.reader_of_documents(TINY, np.array([[17, 1]]))


def test_bad_worlds_and_kinds_are_refused():
    with pytest.raises(ConfigError, match="leak"):
        hmm.World(seed=0, leak=0.0)
    with pytest.raises(ConfigError, match="two properties"):
        hmm.World(seed=0, n_properties=1)
    with pytest.raises(ConfigError, match="choose one of transformer"):
        hmm.new_model(WORLD, "oracle", seed=0)


@pytest.mark.parametrize("kind", hmm.KINDS)
@pytest.mark.long
def test_models_learn_documents_and_answer_prompts(kind, monkeypatch):
    monkeypatch.setattr(hmm, "CONTEXT", 40)
    monkeypatch.setattr(hmm, "BATCH", 8)
    model = hmm.new_model(WORLD, kind, seed=0)
    ids = hmm.documents(WORLD, 20, 41, seed=1)
    before = token_losses(model, ids).mean()
    hmm.fit(model, WORLD, kind=kind, steps=25, seed=0, lr=0.02)
    assert token_losses(model, ids).mean() < before - 0.3
    assert hmm.says(model, hmm.prompts(WORLD, 7, 2, 5, seed=0).ids).shape == (7,)


@pytest.mark.long
def test_a_record_of_hidden_worlds_in_miniature_holds_what_the_chapter_reads(monkeypatch):
    monkeypatch.setattr(hmm, "N_PROMPTS", 4)
    monkeypatch.setattr(hmm, "N_ITEMS", 2)
    monkeypatch.setattr(hmm, "CELLS", [(0, 3), (2, 5)])
    monkeypatch.setattr(hmm, "UNSEEN_CELLS", [(1, 5)])
    found = hmm.read("documents", 0)
    assert set(found) == {"right", "unseen", "orders", "shuffled", "steered", "loss"} and len(found["loss"]) == 100
    assert list(found["right"]) == ["0,3", "2,5"] and len(found["orders"]) == hmm.N_SETS and len(found["orders"][0]) == 24
    assert set(found["steered"][1]) <= set("012") and len(found["shuffled"][1]) == 4
    monkeypatch.setattr(hmm, "CONTEXT", 30)
    monkeypatch.setattr(hmm, "BATCH", 2)
    learned = hmm.learn("one concept", 0, 2, 0.01)
    assert set(learned) == {"right", "unseen", "checks", "loss", "seconds"} and learned["checks"][-1]["step"] == 2


@pytest.mark.long
def test_the_rate_with_the_least_loss_on_the_tuning_world_is_taken(monkeypatch):
    asked = []

    def units(compute, arguments):
        asked.append((compute, arguments))
        return [{} if compute is not hmm.tuning_loss else abs(np.log(args[3] / 0.02)) for args in arguments.values()]
    monkeypatch.setattr(hmm, "units", units)
    found = hmm.hidden_worlds(seeds=[0, 1], steps=9, one_concept_steps=3, tuning_seed=100, tuning_steps=2)
    assert {(r["kind"], r["lr"], r["steps"]) for r in found["models"]} == {
        ("transformer", 0.02, 9), ("recurrent", 0.02, 9), ("one concept", 0.02, 3)}
    assert {args[1] for args in asked[0][1].values()} == {100} and len(found["readers"]) == 2 * len(hmm.READERS)
