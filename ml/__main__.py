"""The command line: python -m ml COMMAND, see --help. Needs no database and no Django."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ml.arguments import at_least, in_words, new_file
from ml.card import CARD_FILE, MODELS, ModelError, default_version, read_card
from ml.dataset import DatasetError, Patches, read_patches
from ml.engine import ENGINES, load_engine
from ml.images import MAX_BYTES, ImageError, decode_patch
from ml.receipt import ReceiptError


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        run: int = options.run(options)
        return run
    except (DatasetError, ModelError, ImageError, ReceiptError, OSError) as error:
        _complain(in_words(error))
        return 2
    except KeyboardInterrupt:
        resumes = options.run in (_train, _crossvalidate)
        print("Stopped. The same command goes on with this run." if resumes else "Stopped.", file=sys.stderr)
        return 130


def _complain(sentence: str) -> None:
    print(f"error: {sentence}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ml",
        description="Train, export and use the models of IDC Finder: for research and teaching, never a diagnosis.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("train", help="train a network by a recipe; the same call again resumes")
    _add_data(command)
    command.add_argument("--recipe", default="mobilenetv2", help="a file of ml/recipes/, without .toml")
    command.add_argument("--run", dest="folder", type=Path, required=True, help="folder of the run")
    command.add_argument("--weights", choices=["imagenet"], help="start from published weights (downloaded once)")
    command.set_defaults(run=_train)

    command = commands.add_parser("crossvalidate", help="compare recipes by short runs inside the training patients")
    _add_data(command)
    command.add_argument("--recipe", required=True, help="a file of ml/recipes/, without .toml")
    command.add_argument("--run", dest="folder", type=Path, required=True, help="folder of the runs")
    command.add_argument("--folds", type=at_least(2), default=3)
    command.add_argument("--epochs", type=at_least(1), default=8)
    command.add_argument(
        "--split", choices=("patient", "patch"), default="patient", help="patch: to show what that leaks"
    )
    command.set_defaults(run=_crossvalidate)

    command = commands.add_parser("evaluate", help="figures with 95 %% intervals over patients")
    _add_data(command)
    _add_model(command)
    command.add_argument("--json", type=new_file, metavar="FILE", help="also write the figures to this file")
    command.set_defaults(run=_evaluate)

    command = commands.add_parser("errors", help="contact sheets of the worst errors, as an HTML page")
    _add_data(command)
    _add_model(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="receives index.html and pictures")
    command.set_defaults(run=_errors)

    command = commands.add_parser("predict", help="answer image files; exit status 2 if one was bad")
    command.add_argument("files", type=Path, nargs="+", metavar="FILE")
    _add_model(command)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_predict)

    command = commands.add_parser(
        "verify", help="compute an answer of the site again: exit status 0 if it is the same, 1 if not"
    )
    command.add_argument("receipt", type=Path, metavar="RECEIPT", help="a receipt that the site gave")
    command.add_argument("image", type=Path, metavar="IMAGE", help="the file that was sent, or the picture as served")
    command.set_defaults(run=_verify)

    command = commands.add_parser("export", help="make a model version of a finished run")
    command.add_argument("version", help="becomes ml/models/VERSION")
    command.add_argument(
        "--run", dest="folders", type=Path, nargs="+", required=True, help="one folder or more: a mean"
    )
    _add_data(command)
    command.add_argument("--symmetries", type=int, choices=(1, 8), default=1, help="8: mean over flips and turns")
    command.add_argument("--compare", metavar="VERSION", help="state the paired difference to this version")
    command.add_argument("--default", action="store_true", help="make it the default version")
    command.set_defaults(run=_export)
    return parser


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="PATH", help="folder or zip in the Kaggle layout"
    )


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", metavar="VERSION", help="a folder of ml/models/ (default: the one DEFAULT names)")
    command.add_argument("--engine", choices=sorted(ENGINES), default="litert")


def _train(options: argparse.Namespace) -> int:
    from ml.recipe import read_recipe
    from ml.runs import run_recipe

    recipe = read_recipe(options.recipe)
    card = run_recipe(recipe, read_patches(*options.data), options.folder, weights=options.weights)
    for title, figures in {"by patch, leaky": "figures_by_patch", "by patient": "figures_by_patient"}.items():
        if "leak" in card:
            print(f"{title}:")
            _print_report(card["leak"][figures])
    if "leak" not in card:
        _print_report(card["figures"])
        print(f"Wrote {options.folder}. Next: python -m ml export VERSION --run {options.folder} --data ...")
    return 0


def _crossvalidate(options: argparse.Namespace) -> int:
    from ml.crossvalidate import crossvalidate
    from ml.recipe import read_recipe

    recipe, patches = read_recipe(options.recipe), read_patches(*options.data)
    result = crossvalidate(
        recipe, patches, options.folder, number=options.folds, epochs=options.epochs, split=options.split
    )
    for name, mean in result["mean"].items():
        folds = ", ".join(f"{row[name]:.4f}" for row in result["folds"])
        print(f"{name:>18}  {mean:.4f} +- {result['sd'][name]:.4f}  ({folds})")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    folder = _model_folder(options)
    card = read_card(folder)
    engine = load_engine(folder, card, kind=options.engine)
    patches = read_patches(*options.data)
    figures = _report(patches, engine.predict(patches.pixels).probability, card.threshold)
    _print_report(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _errors(options: argparse.Namespace) -> int:
    from ml.errors import write_errors

    folder = _model_folder(options)
    card = read_card(folder)
    patches = read_patches(*options.data)
    page = write_errors(load_engine(folder, card, kind=options.engine), card, patches, options.out)
    print(f"Wrote {page}. Open it in a browser.")
    return 0


def _predict(options: argparse.Namespace) -> int:
    import numpy as np

    folder = _model_folder(options)
    card = read_card(folder)
    engine = load_engine(folder, card, kind=options.engine)
    files, patches = [], []
    for file in options.files:  # a bad one is named, and costs the others nothing
        try:
            patches.append(decode_patch(_start_of(file, MAX_BYTES)).pixels)
            files.append(file)
        except ImageError as error:
            _complain(f"{file}: {error}")
        except OSError as error:
            _complain(in_words(error))
    probabilities = engine.predict(np.stack(patches)).probability if patches else ()
    answers = [
        {
            "file": str(file),
            "probability": float(probability),
            "label": "positive" if probability >= card.threshold else "negative",
            "model": card.version,
        }
        for file, probability in zip(files, probabilities, strict=True)
    ]
    if options.json:
        print(json.dumps(answers, indent=2))
    else:
        for answer in answers:
            print(f"{answer['probability']:7.1%}  {answer['label']}  {answer['file']}")
    return 0 if len(files) == len(options.files) else 2


def _verify(options: argparse.Namespace) -> int:
    from ml import receipt, verify

    claimed = receipt.parse_receipt(_start_of(options.receipt, receipt.MAX_BYTES))
    try:
        patch = decode_patch(_start_of(options.image, MAX_BYTES))
    except ImageError as error:
        raise DatasetError(f"{options.image}: {error}") from error
    verdict = verify.verify(claimed, patch)
    if verdict.differences:
        print("The receipt does not hold:")
        for difference in verdict.differences:
            print(f"- {difference}")
    else:
        answer = f"{claimed.model.version} answers {verdict.label}, {verdict.probability!r}, on this image."
        print(f"The receipt holds: {answer}")
    times = f"{', '.join(receipt.TIMES)} are in this order, after the model's card, and past"
    print(f"Checked: {', '.join(verify.CHECKED)}; that {times}.")
    print(f"Not checked, the site's word: {', '.join(verify.UNCHECKED)}; the flag {verify.STATED}.")
    return 1 if verdict.differences else 0


def _start_of(file: Path, limit: int) -> bytes:
    """A file, or as much of it as shows that it is larger than `limit`."""
    with file.open("rb") as stream:
        return stream.read(limit + 1)


def _export(options: argparse.Namespace) -> int:
    from ml.export import export

    destination = MODELS / options.version
    difference = export(
        options.folders,
        destination,
        read_patches(*options.data),
        symmetries=options.symmetries,
        compared_with=MODELS / options.compare if options.compare else None,
    )
    if options.default:
        (MODELS / "DEFAULT").write_text(options.version + "\n")
    print(f"Wrote {destination}. LiteRT and Keras differ by at most {difference:.1e}.")
    return 0


def _model_folder(options: argparse.Namespace) -> Path:
    if options.model is None:
        return MODELS / default_version()
    known = sorted(card.parent.name for card in MODELS.glob(f"*/{CARD_FILE}"))
    if options.model not in known:
        raise ModelError(f"No model {options.model!r} in {MODELS}. Known: {', '.join(known)}.")
    folder: Path = MODELS / options.model
    return folder


def _report(patches: Patches, probabilities: Any, threshold: float) -> dict[str, Any]:
    from ml.evaluate import report

    return report(patches.labels, probabilities, patches.patients, threshold=threshold, excluded=len(patches.excluded))


def _print_report(figures: dict[str, Any]) -> None:
    print(f"patches: {figures['n']}, patients: {figures['patients']}, excluded: {figures['excluded']}")
    for name, interval in figures.items():
        if name.endswith("_ci"):
            value = figures[name.removesuffix("_ci")]
            shown = "not defined" if value is None else f"{value:.4f}  [{interval[0]:.4f} - {interval[1]:.4f}]"
            print(f"{name.removesuffix('_ci'):>18}  {shown}")


if __name__ == "__main__":
    sys.exit(main())
