"""Settings belong to a thread, nest, and refuse what they do not know."""

import threading

import pytest

import pyseq
from pyseq.ops import runtime


@pytest.fixture(autouse=True)
def unchanged_afterwards():
    before = pyseq.get_config()
    yield
    pyseq.set_config(**before)


def test_the_default_is_the_most_exact():
    assert pyseq.get_config() == {"precision": "highest"}


def test_a_setting_holds_until_it_is_changed():
    for precision in ("medium", "high", "highest"):
        pyseq.set_config(precision=precision)
        assert pyseq.get_config()["precision"] == precision


def test_what_is_left_out_stays():
    pyseq.set_config(precision="medium")
    pyseq.set_config()
    pyseq.set_config(precision=None)
    with pyseq.config_context():
        assert pyseq.get_config()["precision"] == "medium"


def test_get_config_is_a_copy():
    pyseq.get_config()["precision"] = "medium"
    assert pyseq.get_config()["precision"] == "highest"


def test_contexts_nest():
    with pyseq.config_context(precision="medium"):
        with pyseq.config_context(precision="high"):
            assert pyseq.get_config()["precision"] == "high"
        assert pyseq.get_config()["precision"] == "medium"
    assert pyseq.get_config()["precision"] == "highest"


def test_a_context_ends_with_an_exception_and_undoes_what_was_set_inside():
    def fails():
        with pyseq.config_context(precision="medium"):
            pyseq.set_config(precision="high")
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert pyseq.get_config()["precision"] == "highest"


def test_a_setting_belongs_to_its_thread():
    found = []

    def other_thread():
        found.append(pyseq.get_config()["precision"])
        pyseq.set_config(precision="high")
        found.append(pyseq.get_config()["precision"])

    with pyseq.config_context(precision="medium"):
        thread = threading.Thread(target=other_thread)
        thread.start()
        thread.join()
        assert pyseq.get_config()["precision"] == "medium"
    assert found == ["highest", "high"]


@pytest.mark.parametrize("precision", ["low", "Medium", "", 1, ["medium"], True])
def test_unknown_precisions_are_named(precision):
    with pytest.raises(ValueError, match=r"precision is .*, expected one of 'highest', 'high', 'medium'"):
        pyseq.set_config(precision=precision)
    context = pyseq.config_context(precision=precision)
    with pytest.raises(ValueError, match="precision is"):
        context.__enter__()
    assert pyseq.get_config() == {"precision": "highest"}


def test_settings_are_given_by_name():
    with pytest.raises(TypeError):
        pyseq.set_config("medium")
    with pytest.raises(TypeError):
        pyseq.set_config(precission="medium")


def test_native_precisions_are_a_part_of_all_and_start_with_the_default():
    native = runtime.native_precisions()
    assert native[0] == "highest"
    assert set(native) <= {"highest", "high", "medium"}
    assert runtime.active_tier() in ("avx512", "amx") or native == ("highest",)
    assert runtime.active_tier() != "amx" or native == ("highest", "high", "medium")
