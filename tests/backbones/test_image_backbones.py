from __future__ import annotations

from typing import cast

import pytest

from sartor.backbone import Backbone
from sartor.errors import BadInput
from sartor.methods.probe import Probe
from sartor.part import part
from sartor.recipe import Plan


def backbone(spelled: str) -> Backbone:
    return cast(Backbone, part("backbones", spelled))


@pytest.mark.parametrize(
    ("spelled", "said"),
    [
        (
            "convnet:image_size=8",
            "error[VALUE_RANGE]: convnet.image_size is 8. Fix: give at least 16 and at most 1024.",
        ),
        ("vit:image_size=2000", "error[VALUE_RANGE]: vit.image_size is 2000. Fix: give at least 16 and at most 1024."),
        (
            "vit:image_size=64,patch_size=7",
            "error[VALUE_RANGE]: vit.patch_size is 7 and vit.image_size 64. "
            "Fix: give a patch size that divides the image size.",
        ),
        (
            "convnet:augment=crop+flop",
            "error[VALUE]: convnet.augment is 'flop'. Fix: did you mean 'flip'? "
            "Known: colour, crop, cutout, flip, randaugment.",
        ),
    ],
)
def test_settings_that_make_no_sense(spelled: str, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        backbone(spelled)
    assert str(raised.value) == said


@pytest.mark.parametrize("name", ["convnet", "vit"])
def test_a_path_that_is_no_folder_is_answered_with_this_backbone(name: str) -> None:
    with pytest.raises(BadInput) as raised:
        backbone(f"{name}:path=./nowhere").build("row")
    assert str(raised.value) == (
        "error[MODEL_NOT_FOUND]: there is no model folder './nowhere'. Fix: give a folder with config.json."
    )


@pytest.mark.parametrize("name", ["convnet", "vit"])
def test_weights_drawn_anew_ask_for_their_own_rate_and_more_epochs(name: str) -> None:
    asked = backbone(name).plan(Plan())
    assert asked.learning_rate is not None and asked.learning_rate >= 1e-3
    assert asked.num_train_epochs is not None and asked.num_train_epochs > 3
    assert asked.head_start == "random"
    given = backbone(name).plan(Plan(learning_rate=0.5, num_train_epochs=1.0))
    assert (given.learning_rate, given.num_train_epochs) == (0.5, 1.0)
    pretrained = backbone(f"{name}:path=somewhere")
    assert pretrained.plan(Plan()) == Plan()
    assert Probe().plan(asked).head_start == "solved"


def test_no_augmentation_can_be_spelled() -> None:
    found = backbone("convnet:augment=")
    assert backbone(found.spelled()) == found
    assert found.settings()["augment"] == []
