import small_maps

from memorability.evaluation.collapse import SAME, collapse


def test_a_discriminator_has_won_once_it_wins_to_the_end():
    said = collapse(small_maps.GAN, 0.8)
    assert said["discriminator_wins_from_epoch"] == 3
    assert not said["outputs_lost_their_variety"]
    assert "its discriminator has won from epoch 3 on" in said["text"]


def test_a_win_that_does_not_last_is_none():
    for wins in ([0.5] * 4 + [0.99, 0.99], [0.99] * 5 + [0.5]):
        said = collapse(small_maps.GAN.assign(train_wins=wins), 0.8)
        assert said["discriminator_wins_from_epoch"] is None
        assert "does not win" in said["text"]
    assert collapse(small_maps.GAN.assign(train_wins=1.0), 0.8)["discriminator_wins_from_epoch"] == 0


def test_outputs_that_hardly_differ_have_lost_their_variety():
    said = collapse(small_maps.DIFFUSION, SAME - 0.01)
    assert said["outputs_lost_their_variety"]
    assert "hardly differ" in said["text"]
    assert "discriminator_wins_from_epoch" not in said
    assert not collapse(small_maps.DIFFUSION, SAME)["outputs_lost_their_variety"]


def test_without_different_true_maps_nothing_is_said_of_variety():
    said = collapse(small_maps.GAN, None)
    assert not said["outputs_lost_their_variety"]
    assert "no different maps on val" in said["text"]
