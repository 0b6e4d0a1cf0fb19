"""Which candidate fits? Three of them on real texts, the winner asked, and the reason read."""

import sartor

found = sartor.position(
    "example:docstrings",
    target="label",
    budget="60s",
    candidates=["majority", "tfidf", "probe"],
    out="runs/docstrings",
)
print(found.pick, "-", found.result["pick"]["why"])

test = found.result["pick"]["test"]["accuracy"]
print(f"on {test['n']} rows that no choice was made on: {test['value']:.3f} [{test['low']:.3f}, {test['high']:.3f}]")

answers = found.bundle.predict(["Compute the shortest path between two nodes.", "Solve a sparse linear system."])
print([answer["prediction"] for answer in answers])
