"""The example runs, and knowing the lattice predicts unseen images better than the graphical lasso."""

from tests.conftest import require


def test_known_neighbours_beat_the_graphical_lasso(capsys):
    require("sklearn")
    from examples import ensemble_covariance

    scores = ensemble_covariance.main()
    assert scores["the truth"] > scores["precision, shared coefficients"]
    for name in ("precision, shared coefficients", "precision, one per pixel", "Cholesky factor, shrunk"):
        for other in ("graphical lasso", "Ledoit-Wolf", "OAS"):
            assert scores[name] > scores[other]
    assert "nats per image over the graphical lasso" in capsys.readouterr().out
