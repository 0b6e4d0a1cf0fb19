"""One recipe on rows from Python, then the bundle in plain transformers: the same answers."""

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import sartor

good = ["a joy to watch", "great fun and well acted", "moving and clever", "the best film this year", "warm and funny"]
bad = [
    "a waste of time",
    "dull and badly acted",
    "boring and far too long",
    "the worst film this year",
    "cold and flat",
]
rows = [
    {"text": f"{text} ({i})", "label": label}
    for i in range(8)
    for label, texts in (("good", good), ("bad", bad))
    for text in texts
]

trained = sartor.finetune(rows, target="label", method="probe", out="runs/films")
print(trained)

asked = ["well acted and clever", "far too long"]
answers = trained.bundle.predict(asked)

folder = str(trained.result["bundle"])
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
batch = AutoTokenizer.from_pretrained(folder)(asked, padding=True, return_tensors="pt")
with torch.no_grad():
    probabilities = model(**batch).logits.softmax(-1)

for answer, plain in zip(answers, probabilities, strict=True):
    ours = torch.tensor(list(answer["probabilities"].values()))
    assert torch.allclose(ours, plain, atol=1e-5)
    print(answer["prediction"], plain.tolist())
