"""The split of a user's records depends on the id alone."""

from alignloop.data.preparation.record_features import split_of


def test_users_are_split_by_their_ids_alone_in_the_given_shares():
    splits = [split_of(f"user-{number}", valid=0.1, test=0.2) for number in range(20_000)]
    assert abs(splits.count("test") / 20_000 - 0.2) < 0.01
    assert abs(splits.count("valid") / 20_000 - 0.1) < 0.01
    assert split_of("ann", 0.0, 0.0) == "train"
    assert split_of("ann", 0.0, 1.0) == "test"
    splits_by_user = {user: split_of(user, 0.1, 0.2) for user in ("ann", "bob", "cem")}
    assert splits_by_user == {"ann": "train", "bob": "valid", "cem": "test"}, "stable from release to release"
