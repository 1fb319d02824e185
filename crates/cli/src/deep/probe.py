"""Looks at the scripts of a skill from inside a sandbox, and prints one line of JSON before and after each.

The scripts are strangers: each is looked at in a process of its own with a time limit, which notes every step in a file, so that
one that hangs, exits or kills is known by the last step that it noted, and hides nothing of the others.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import types

# The job takes the place of the mark: `root`, and `scripts` with `path` and `language`.
JOB = json.loads(@JOB@)
SECONDS = 20
HELP_SECONDS = 10
ARGUMENT_PARSERS = ("argparse", "click", "typer", "docopt", "fire")


def text_of(path):
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return file.read()


def is_main(node):
    return isinstance(node, ast.If) and any(
        isinstance(name, ast.Name) and name.id == "__name__" for name in ast.walk(node.test)
    )


def mentions(node, name):
    return any(
        isinstance(part, ast.Attribute) and part.attr == name or isinstance(part, ast.Name) and part.id == name
        for part in ast.walk(node)
    )


def imports(node):
    return any(isinstance(part, (ast.Import, ast.ImportFrom)) for part in ast.walk(node))


DEFINITIONS = (ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def needed(body):
    """The statements at the top that import, those that change where imports are looked for, and what both may use."""
    last = max((index for index, node in enumerate(body) if mentions(node, "path") and mentions(node, "sys")), default=-1)
    final = max((index for index, node in enumerate(body) if imports(node) and not is_main(node)), default=-1)
    for index, node in enumerate(body):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, True
        elif isinstance(node, ast.Try) and any(isinstance(part, (ast.Import, ast.ImportFrom)) for part in node.body):
            yield node, True
        elif isinstance(node, ast.If) and not is_main(node) and imports(node) and mentions(node.test, "sys"):
            yield node, True
        elif index < final and isinstance(node, DEFINITIONS):
            # A handler of a failed import may define a stand-in by what was set before.
            yield node, False
        elif index <= last and isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr, ast.If, ast.For)) and not is_main(node):
            yield node, False


def package_of(path, tree):
    """The package that a module belongs to, and the folder that the package is in."""
    started = any(is_main(node) for node in tree.body)
    levels = [node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    # A script that is started by its path finds what is beside it, also where that is a package.
    if started and not any(levels):
        return None, os.path.dirname(path)
    depth = 0
    folder = os.path.dirname(path)
    while os.path.exists(os.path.join(folder, "__init__.py")):
        depth += 1
        folder = os.path.dirname(folder)
    if not started:
        depth = max([depth, *levels])
    parts = os.path.dirname(path).split(os.sep)
    if depth == 0 or depth >= len(parts):
        return None, os.path.dirname(path)
    return ".".join(parts[-depth:]), os.sep.join(parts[:-depth])


def is_in_skill(root, module):
    top = module.split(".")[0]
    for folder, folders, files in os.walk(root):
        if top + ".py" in files or top in folders:
            return True
    return False


def cause_of(error):
    """A handler that gives up says less than what it was called for."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, ImportError):
        return error.__context__
    return error


def explain(error, node):
    missing = cause_of(error)
    if isinstance(missing, ModuleNotFoundError) and missing.name:
        kind = "local" if is_in_skill(JOB["root"], missing.name) else "missing"
        return {"kind": kind, "module": missing.name, "message": str(missing)}
    kind = "ends" if isinstance(error, SystemExit) else "import"
    text = str(missing).strip().splitlines()
    return {"kind": kind, "module": name_of(node), "message": f"{type(missing).__name__}: {text[0] if text else ''}"[:300]}


def name_of(node):
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            return part.names[0].name
        if isinstance(part, ast.ImportFrom):
            return "." * part.level + (part.module or "")
    return ""


def line_of(error, node):
    """The line of the statement that failed, inside a `try` as well."""
    trace = error.__traceback__
    line = node.lineno
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<script>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def child(path, notes):
    """Runs in a process of its own."""

    def note(step):
        notes.write(json.dumps(step) + "\n")
        notes.flush()

    root = JOB["root"]
    full = os.path.join(root, path)
    source = text_of(full)
    try:
        tree = ast.parse(source, path)
        compile(tree, path, "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        note({"found": {"kind": "syntax", "line": line, "message": getattr(error, "msg", None) or str(error)}})
        return
    package, folder = package_of(full, tree)
    sys.path[0] = folder
    # A module is imported by a script beside it, or above it.
    if folder != os.path.dirname(full):
        sys.path.append(os.path.dirname(full))
    sys.argv = [full]
    module = types.ModuleType("__probe__")
    module.__dict__.update(__file__=full, __package__=package)
    sys.modules["__probe__"] = module
    for node, counts in needed(tree.body):
        if counts:
            note({"line": node.lineno, "module": name_of(node)})
        try:
            exec(compile(ast.Module([node], []), "<script>", "exec"), module.__dict__)
        except BaseException as error:
            # A name is missing since not everything before was run; the script itself has it.
            if counts and not isinstance(cause_of(error), NameError):
                note({"found": {"line": line_of(cause_of(error), node), **explain(error, node)}})
    note({"done": True})


def look_at_python(path):
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as notes:
        command = [sys.executable, __file__, "--child", path, notes.name]
        ended = None
        try:
            status = subprocess.run(command, cwd=JOB["root"], timeout=SECONDS, **QUIET).returncode
            if status:
                ended = "the process was killed" if status < 0 else f"the process ended with {status}"
        except subprocess.TimeoutExpired:
            ended = f"it does not end within {SECONDS} s"
        steps = []
        for line in notes:
            try:
                steps.append(json.loads(line))
            except ValueError:
                pass
    found = [step["found"] for step in steps if "found" in step]
    finished = any("done" in step for step in steps) or any(one["kind"] == "syntax" for one in found)
    if not finished:
        last = next((step for step in reversed(steps) if "line" in step), {"line": 1, "module": ""})
        message = ended or "the process ended"
        found.append({"kind": "ends", "line": last["line"], "module": last["module"], "message": message})
    # What does not start cannot explain itself.
    return found or ask_for_help(path)


def ask_for_help(path):
    try:
        tree = ast.parse(text_of(os.path.join(JOB["root"], path)))
    except (SyntaxError, ValueError):
        return []
    names = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    if not names & set(ARGUMENT_PARSERS) or not any(is_main(node) for node in tree.body):
        return []
    try:
        done = subprocess.run(
            [sys.executable, path, "--help"],
            cwd=JOB["root"],
            timeout=HELP_SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
    except subprocess.TimeoutExpired:
        return [{"kind": "help", "line": 1, "message": f"it does not end within {HELP_SECONDS} s"}]
    if done.returncode == 0:
        return []
    lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    return [{"kind": "help", "line": 1, "message": (lines[-1].strip() if lines else f"exit code {done.returncode}")[:300]}]


def look_at_bash(path):
    if shutil.which("bash") is None:
        return []
    done = subprocess.run(["bash", "-n", path], cwd=JOB["root"], timeout=SECONDS, capture_output=True)
    if done.returncode == 0:
        return []
    for text in done.stderr.decode(errors="replace").splitlines():
        place, _, message = text.partition(": line ")
        number, _, message = message.partition(": ")
        if number.isdigit():
            return [{"kind": "syntax", "line": int(number), "message": message[:300]}]
    return [{"kind": "syntax", "line": 1, "message": "bash does not read it"}]


def look_at_node(path):
    node = shutil.which("node")
    if node is None:
        return []
    done = subprocess.run([node, "--check", path], cwd=JOB["root"], timeout=SECONDS, capture_output=True)
    if done.returncode == 0:
        return []
    lines = done.stderr.decode(errors="replace").splitlines()
    number = next((line.rsplit(":", 1)[1] for line in lines[:3] if line.rsplit(":", 1)[-1].isdigit()), "1")
    message = next((line for line in lines if "Error: " in line), "node does not read it")
    return [{"kind": "syntax", "line": int(number), "message": message[:300]}]


LOOKS = {"python": look_at_python, "bash": look_at_bash, "node": look_at_node}
QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def main():
    for script in JOB["scripts"]:
        path = script["path"]
        print(json.dumps({"start": path}), flush=True)
        try:
            found = LOOKS[script["language"]](path)
        except subprocess.TimeoutExpired:
            found = [{"kind": "ends", "line": 1, "module": "", "message": f"it does not end within {SECONDS} s"}]
        print(json.dumps({"path": path, "found": found}), flush=True)


if len(sys.argv) > 3 and sys.argv[1] == "--child":
    with open(sys.argv[3], "a") as notes:
        child(sys.argv[2], notes)
        notes.flush()
        # What modules left running must not keep the process.
        os._exit(0)
else:
    main()
