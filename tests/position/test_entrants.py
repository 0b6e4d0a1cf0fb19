"""Which candidates enter: the shelf's files, what people spell, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pair_samples import captioned, described, matched
from sartor.data.rows import Column, Schema
from sartor.errors import BadInput, did_you_mean
from sartor.part import names
from sartor.position.entrants import enter, families, learned, refuse_unfit, with_seed
from sartor.tasks.matching import Matching
from table_samples import graded
from text_samples import labelled, measured, spanned, task_of

ROWS = labelled(60)
TASK = task_of(ROWS)


def test_the_shelf_has_twelve_candidates_of_six_families() -> None:
    found = enter(TASK, ROWS.schema, None, {})
    assert len(found) >= 12
    known = {"contrastive", "embedding_knn", "full", "lora", "majority", "probe", "tfidf"}
    assert {c.family for c in found} == known < set(families())


def test_contrastive_tuning_enters_by_itself_only_where_rows_are_few() -> None:
    few, many = (enter(TASK, ROWS.schema, None, {}, rows) for rows in (500, 501))
    assert {c.family for c in few} - {c.family for c in many} == {"contrastive"}
    assert {c.family for c in enter(TASK, ROWS.schema, ["contrastive"], {}, 501)} == {"contrastive"}
    assert {c.recipe.objective.name for c in few if c.recipe is not None} == {"supervised", "cosine_pairs"}


def test_an_objective_that_needs_classes_does_not_enter_for_numbers() -> None:
    rows = measured(60)
    task = task_of(rows)
    assert "contrastive" not in {c.family for c in enter(task, rows.schema, None, {})}
    with pytest.raises(BadInput) as caught:
        enter(task, rows.schema, ["minilm+contrastive"], {})
    assert caught.value.sentence() == (
        "error[CANDIDATE_TASK]: 'minilm + contrastive' cannot answer what regression asks. "
        f"Fix: leave it out, or name one of: {', '.join(families())}."
    )


def test_over_tokens_those_enter_that_answer_each_of_them() -> None:
    rows = spanned(60)
    found = enter(task_of(rows), rows.schema, None, {})
    assert {c.family for c in found} == {"full", "linear_tagger", "lora", "majority", "probe"}
    with pytest.raises(BadInput) as caught:
        enter(task_of(rows), rows.schema, ["tfidf"], {})
    assert str(caught.value).startswith("error[CANDIDATE_TASK]: 'tfidf' cannot answer what token_classification asks.")


def test_a_candidate_is_spelled_as_it_was_given() -> None:
    given = ["tfidf", "minilm+lora:r=8@0.0005", "minilm+probe"]
    assert [c.spelled() for c in enter(TASK, ROWS.schema, given, {})] == given


def test_plan_settings_reach_every_recipe_and_rates_stay() -> None:
    found = enter(TASK, ROWS.schema, ["full"], {"weight_decay": "0.5"})
    plans = [c.recipe.plan for c in found if c.recipe is not None]
    assert {p.weight_decay for p in plans} == {0.5}
    assert len({p.learning_rate for p in plans}) == len(plans) > 1


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            "tfdif",
            "error[CANDIDATE_UNKNOWN]: no candidate is called 'tfdif'. Fix: "
            f"{did_you_mean('tfdif', {*families(), *names('baselines')})}; "
            "or write backbone+method, such as minilm+lora:r=8@5e-4.",
        ),
        (
            "minilm+lorra",
            "error[PART_UNKNOWN]: no method is called 'lorra'. "
            f"Fix: did you mean 'lora'? Known: {', '.join(names('methods'))}.",
        ),
        (
            "minilm+lora@fast",
            "error[VALUE]: plan.learning_rate is 'fast', not a number. Fix: write a number such as 0.1 or 1e-4.",
        ),
    ],
)
def test_what_is_misspelt_is_answered(given: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        enter(TASK, ROWS.schema, [given], {})
    assert caught.value.sentence() == sentence


def test_a_named_candidate_that_cannot_read_the_data_is_refused() -> None:
    columns = (Column("age", "number", "given"), Column("label", "category", "given"))
    with pytest.raises(BadInput) as caught:
        enter(TASK, Schema(columns, "label", ("age",)), ["tfidf"], {})
    assert caught.value.sentence() == (
        "error[CANDIDATE_READS]: 'tfidf' reads text. Fix: give it a column of kind text: --kind COLUMN=KIND."
    )


def test_a_model_that_is_not_there_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    found = enter(TASK, ROWS.schema, [f"encoder:path={tmp_path}/nosuch+full"], {})
    with pytest.raises(BadInput, match="there is no model folder"):
        refuse_unfit(found)


def test_a_repeat_differs_by_its_seed_alone() -> None:
    first = enter(TASK, ROWS.schema, ["minilm+full@5e-5"], {})[0]
    again = with_seed(first, 7)
    assert first.recipe is not None
    assert again.recipe is not None
    assert (first.recipe.plan.seed, again.recipe.plan.seed) == (0, 7)
    assert again.name == first.name


def test_a_table_of_columns_is_raced_by_what_reads_columns() -> None:
    rows = graded(60)
    task = task_of(rows)
    families = {c.family for c in enter(task, rows.schema, None, {}, 60)}
    assert families == {"boosted_trees", "columns", "logistic", "majority", "random_forest", "row_text"}
    assert "row_text" not in {c.family for c in enter(task, rows.schema, None, {}, 100_000)}


def test_texts_alone_are_not_written_as_rows() -> None:
    rows = measured(60)
    assert not {"row_text", "columns"} & {c.family for c in enter(task_of(rows), rows.schema, None, {}, 60)}


def test_every_network_learns_its_columns_once() -> None:
    rows = graded(60)
    found = learned(enter(task_of(rows), rows.schema, None, {}, 60), rows)
    tables = [c.recipe.backbone.table for c in found if c.recipe is not None and c.family == "columns"]  # type: ignore[attr-defined]
    assert len(tables) == 2
    assert tables[0] is tables[1]


def test_over_pairs_those_enter_that_read_both_sides() -> None:
    texts, mixed = matched(60), captioned(20)
    task = Matching().learn(texts)
    found = {
        name: {c.family for c in enter(task, rows.schema, None, {})} for name, rows in (("t", texts), ("m", mixed))
    }
    assert found["t"] == {"chance", "embedding_cosine", "full", "lora", "probe", "tfidf_cosine"}
    assert found["m"] == {"chance", "fusion", "ridge_cosine"}
    with pytest.raises(BadInput, match="'tfidf' cannot answer what matching asks"):
        enter(task, texts.schema, ["tfidf"], {})


def test_a_joint_network_enters_where_all_that_it_reads_is_there() -> None:
    both = described(40)
    assert "fusion" in {c.family for c in enter(task_of(both), both.schema, None, {})}
    assert "fusion" not in {c.family for c in enter(TASK, ROWS.schema, None, {})}
    given = ["(fusion:of=minilm+vit,how=cross)+full@0.001"]
    assert [c.spelled() for c in enter(task_of(both), both.schema, given, {})] == given
