"""The model table."""

from collections.abc import Iterator

import pytest

from shared import bootstrap
from shared.domain.errors import ProviderRefusedError, ValidationError
from shared.domain.media_type import MediaType
from shared.domain.models import DEFAULT_DURATION_S, MODELS, Form, Model, Size, SizeRule, choose_model

ALL = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


@ALL
def test_each_model_accepts_its_own_defaults(model: Model) -> None:
    model.sizes.check(model.default_size)
    if model.type is MediaType.VIDEO:
        model.check_duration(DEFAULT_DURATION_S)
    else:
        assert not model.durations


@ALL
def test_each_model_can_be_chosen_by_its_name(model: Model) -> None:
    from_image = model.form is Form.IMAGE_TO_VIDEO
    assert choose_model(model.name, model.type, from_image=from_image) is model


@pytest.mark.parametrize(
    ("name", "type", "from_image"),
    [
        ("nothing", MediaType.IMAGE, False),
        ("wan2.6-t2v", MediaType.IMAGE, False),
        ("wan2.2-t2i-flash", MediaType.VIDEO, False),
        ("wan2.6-t2v", MediaType.VIDEO, True),
        ("wan2.6-i2v", MediaType.VIDEO, False),
        ("", MediaType.IMAGE, False),
    ],
)
def test_an_unsuitable_model_is_refused_and_the_suitable_ones_are_named(
    name: str, type: MediaType, from_image: bool
) -> None:
    with pytest.raises(ValidationError, match=r"model must be one of .*wan2") as caught:
        choose_model(name, type, from_image=from_image)
    assert caught.value.errors[0]["field"] == "model"


def test_there_is_a_default_for_each_kind_of_job() -> None:
    chosen = [
        choose_model(None, type, from_image=from_image).form
        for type, from_image in ((MediaType.IMAGE, False), (MediaType.VIDEO, False), (MediaType.VIDEO, True))
    ]
    assert chosen == [Form.TEXT_TO_IMAGE, Form.TEXT_TO_VIDEO, Form.IMAGE_TO_VIDEO]


@pytest.mark.parametrize(
    "text",
    [
        *("", "1024", "1024*1024", "1024x", "x1024", "01024x512", "-1x5", "1x1 ", "99999999x1"),
        *("1٠٢٤x1024", "1024x1０24", "1024x1024\n"),
    ],
)
def test_a_size_is_two_numbers(text: str) -> None:
    with pytest.raises(ValidationError, match="1024x1024"):
        Size.parse(text)


def test_a_parsed_size_is_written_unchanged() -> None:
    assert str(Size.parse("1280x720")) == "1280x720"


@pytest.mark.parametrize(
    ("rule", "size", "match"),
    [
        (SizeRule(only=("1024x1024",)), Size(512, 512), "one of 1024x1024"),
        (SizeRule(min_side=512), Size(1024, 511), "sides of 512"),
        (SizeRule(max_side=1440), Size(1441, 1024), "to 1440 pixels"),
        (SizeRule(min_pixels=1000), Size(10, 99), "1000 to"),
        (SizeRule(max_pixels=1000), Size(11, 100), "to 1000 pixels"),
        (SizeRule(even=True), Size(11, 100), "even"),
    ],
)
def test_each_size_rule_names_the_accepted_sizes(rule: SizeRule, size: Size, match: str) -> None:
    with pytest.raises(ValidationError, match=match) as caught:
        rule.check(size)
    (error,) = caught.value.errors
    assert error["field"] == "size" and str(caught.value) == f"size {error['message']}"


def test_a_duration_that_the_model_cannot_make_is_refused() -> None:
    with pytest.raises(ValidationError, match="5, 10 seconds") as caught:
        MODELS["wan2.5-t2v-preview"].check_duration(7)
    (error,) = caught.value.errors
    assert error["field"] == "duration" and str(caught.value) == f"duration {error['message']}"


def test_ignored_parameters_cause_warnings() -> None:
    assert MODELS["wan2.2-t2i-flash"].warnings("x" * 500, "no", 1) == ()
    (cut,) = MODELS["wan2.2-t2i-flash"].warnings("x" * 501, None, None)
    assert "first 500 characters" in cut
    assert len(MODELS["gpt-image-1"].warnings("x", "no", 0)) == 2


@pytest.fixture
def no_provider_kept() -> Iterator[None]:
    """Forget the providers that were built with the variables of another test."""
    bootstrap._provider.cache_clear()
    yield
    bootstrap._provider.cache_clear()


@ALL
@pytest.mark.usefixtures("no_provider_kept")
def test_each_model_has_an_adapter(model: Model, clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv(f"{model.provider.upper()}_API_KEY", "sk-test")
    assert bootstrap.provider_of(model.name).poll_interval_s > 0


def test_a_model_that_a_release_dropped_is_named() -> None:
    with pytest.raises(ProviderRefusedError, match=r"this release does not serve the model wan1\.0-t2i"):
        bootstrap.provider_of("wan1.0-t2i")
