"""What a ranker is told before a plain `fit`, and how it is brought up to date after it."""

import numpy as np
import tf_keras

from mmrec_tf.models.build import build_ranker
from tests.features.test_prepared_grades import five_stars, prepared


def test_a_plain_fit_is_told_what_train_ranking_tells(tmp_path):
    world = prepared(tmp_path, five_stars, members=1)
    ranker = build_ranker(world.config, world.users, world.items)
    fields = ranker.target_fields
    assert not fields.user.numpy().any() and not fields.scales["item"].numpy().any()
    world.inform(ranker)
    # Every user rates as often as the others, and every item once in 29 rows: counts of training alone.
    train = world.split.train
    counts = train["user_id"].value_counts()
    users = world.rows(train.drop_duplicates("user_id"))[0]
    expected = np.log1p(counts[train.drop_duplicates("user_id")["user_id"]].to_numpy())
    np.testing.assert_allclose(fields.user.numpy()[users + 1, 1], expected, rtol=1e-6)
    told = world.training_statistics["item"]
    np.testing.assert_allclose(fields.scales["item"].numpy()[0], told.mean(axis=0), rtol=1e-5)
    ranker.compile(optimizer=tf_keras.optimizers.Adam(0.01))
    before = ranker.target_fields.embeddings["user"].numpy()
    history = ranker.fit(world.ranking_dataset(64), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert np.any(ranker.target_fields.embeddings["user"].numpy() != before)
    # What came later counts; what training's rows were told keeps the scale.
    world.bring_up_to_date([ranker, None], world.split.validation)
    assert fields.user.numpy()[1:, 1].sum() > expected.sum()
    np.testing.assert_allclose(fields.scales["item"].numpy()[0], told.mean(axis=0), rtol=1e-5)
