//! Scripts and what they need.

super::rules! { Scripts:
    SYNTAX_ERROR = "SB200" "syntax-error" [E W E W]
        "A script or a data file is not valid in its language.",
        "Whatever reads it stops at this place, however good the rest is.",
        "scripts/count.py:\ndef count(text:\n    return len(text)",
        "scripts/count.py:\ndef count(text):\n    return len(text)";
    SCRIPT_WITHOUT_INTERPRETER = "SB201" "script-without-interpreter" [W W W I]
        "A file in `scripts/` does not say what runs it.",
        "It has neither an extension that is known nor a first line with an interpreter, so it is not offered as a script.",
        "scripts/count:\necho counting",
        "scripts/count:\n#!/usr/bin/env bash\necho counting";
    SCRIPT_NOT_EXECUTABLE = "SB202" "script-not-executable" [W W W I]
        "The instructions start a script by its path, but it is not executable.",
        "A model that follows them gets `Permission denied` and has to find out why.",
        "Run `./scripts/count.sh FILE`. (with a file mode of 0644)",
        "Run `bash scripts/count.sh FILE`.";
    SHEBANG_INTERPRETER = "SB203" "shebang-interpreter" [W W W I]
        "The first line of a script asks for an interpreter that sandboxes do not have.",
        "Nothing can be installed in a sandbox, so the script cannot start.",
        "#!/usr/bin/env ruby",
        "#!/usr/bin/env python3";
    SHEBANG_PATH = "SB204" "shebang-path" [W W W I]
        "The first line of a script names an interpreter by a path of one machine.",
        "Elsewhere the interpreter is in another place; `env` finds it in all of them.",
        "#!/opt/homebrew/bin/python3",
        "#!/usr/bin/env python3";
    SCRIPT_CRLF = "SB205" "script-crlf" [W W W I]
        "The lines of a script end with carriage returns.",
        "The kernel looks for an interpreter called `bash\\r`, and bash takes the character for a part of every command.",
        "#!/usr/bin/env bash\\r\\n",
        "#!/usr/bin/env bash\\n";
    INTERACTIVE_PROMPT = "SB206" "interactive-prompt" [W W W I]
        "A script asks its user something.",
        "Nobody sits at the sandbox: standard input is empty, and the script fails or waits until its time is over.",
        "name = input('Name: ')",
        "parser.add_argument('--name', required=True)";
    UNDECLARED_PACKAGE = "SB207" "undeclared-package" [W W W I]
        "A script imports a package that nothing declares.",
        "What is declared in `requirements.txt` or in the script itself is made ready before the first run; what is not must be there by luck.",
        "import rdkit",
        "# /// script\n# dependencies = [\"rdkit==2025.3.3\"]\n# ///\nimport rdkit";
    UNPINNED_REQUIREMENT = "SB208" "unpinned-requirement" [I I I I]
        "A requirement sets no upper bound on the version.",
        "The next major release of the package may break a skill that nobody has touched.",
        "qrcode>=7",
        "qrcode>=7,<9";
    UNRESOLVABLE_REQUIREMENT = "SB209" "unresolvable-requirement" [E W W W]
        "A requirement is no released package of the index.",
        "Dependencies are made ready from wheels of the index when a skill is registered: paths, URLs, repositories and options of pip are refused.",
        "git+https://github.com/lincolnloop/python-qrcode",
        "qrcode==8.2";
    NETWORK_USE = "SB210" "network-use" [W W I I]
        "A script uses the network.",
        "A sandbox has none unless hosts are allowed for it, so the request fails.",
        "requests.get('https://example.com/rates.json')",
        "json.load(open('assets/rates.json'))";
    MISSING_PROGRAM = "SB211" "missing-program" [W W I I]
        "A script starts a program that is not part of a sandbox.",
        "Programs come with the image alone; a skill that needs others works only where somebody has put them there.",
        "subprocess.run(['soffice', '--headless', '--convert-to', 'pdf', path])",
        "a Python package that does the same, in requirements.txt";
    INSTALL_AT_RUN_TIME = "SB212" "install-at-run-time" [W W W I]
        "A script installs software or asks for more rights.",
        "Sandboxes have no network, no root and a read-only system: it cannot succeed.",
        "pip install qrcode",
        "qrcode==8.2 in requirements.txt";
    ENVIRONMENT_VARIABLE = "SB213" "environment-variable" [I I I I]
        "A script needs a secret from the environment.",
        "A sandbox starts with an empty environment: the script works only where the caller passes the variable.",
        "key = os.environ['OPENAI_API_KEY']",
        "a note in the field `compatibility`, and an argument or a file for what is not secret";
    WRITE_OUTSIDE_OUTPUT = "SB214" "write-outside-output" [W W I I]
        "A script writes to a place that is read-only or thrown away.",
        "Scripts run in the skill's folder, which is read-only, and only files in `/output` reach the user.",
        "open('result.csv', 'w')",
        "open(os.path.join(os.environ.get('OUTPUT_DIR', '/output'), 'result.csv'), 'w')";
    DESKTOP_ONLY = "SB215" "desktop-only" [W W W I]
        "A script needs a desktop, macOS or Windows.",
        "Sandboxes are Linux without a screen.",
        "subprocess.run(['osascript', '-e', 'display notification \"Done\"'])",
        "print('Done')";
    BACKGROUND_SERVICE = "SB216" "background-service" [W W W I]
        "A script starts a service or listens on a port.",
        "A sandbox ends with the call, is reached by nobody, and has no system services.",
        "uvicorn.run(app, port=8000)",
        "write a file to `/output` that the user can open";
    NO_HELP = "SB217" "no-help" [I I I I]
        "A script does not explain itself when it is started with `--help`.",
        "Models ask for help before they guess at arguments. Found by running the script in a sandbox.",
        "sys.argv[1] read before anything else",
        "argparse.ArgumentParser(description='Counts words.').parse_args()";
    LOCAL_IMPORT = "SB218" "local-import" [W W W I]
        "A script imports a module of the skill that is not found from there.",
        "Python looks beside the script that was started; a relative import there has no package to be relative to.",
        "scripts/count.py:\nfrom .words import split\nif __name__ == '__main__':\n    print(split('a b'))",
        "scripts/count.py:\nfrom words import split\nif __name__ == '__main__':\n    print(split('a b'))";
    SMOKE_TEST = "SB219" "smoke-test" [E W W W]
        "A script does not even start in a sandbox.",
        "Found by compiling it and importing what it imports in a sandbox with the skill's dependencies: a user would see the same.",
        "ModuleNotFoundError: No module named 'yaml'",
        "PyYAML==6.0.2 in requirements.txt";
    UNSUPPORTED_LANGUAGE = "SB220" "unsupported-language" [W W I I]
        "A script is in a language that sandboxes do not run.",
        "Python, bash and Node.js are run; for anything else there is no interpreter.",
        "scripts/count.rb",
        "scripts/count.py";
    PYTHON_VERSION = "SB221" "python-version" [W W W I]
        "A script needs another Python than sandboxes have.",
        "Images have Python 3.11, and dependencies are not even made ready for a script that asks for another.",
        "# /// script\n# requires-python = \">=3.14\"\n# ///",
        "# /// script\n# requires-python = \">=3.11\"\n# ///";
    COMPILED_FILE = "SB222" "compiled-file" [W W W I]
        "A file is compiled code, or a script that is far too large to be read.",
        "Nobody can review it, and it runs only on the system and the architecture it was made for.",
        "scripts/count.so",
        "scripts/count.py";
    SCRIPT_METADATA = "SB223" "script-metadata" [W W W W]
        "The inline metadata of a script cannot be read.",
        "What it declares is then not installed.",
        "# /// script\n# dependencies = [\"qrcode\n# ///",
        "# /// script\n# dependencies = [\"qrcode\"]\n# ///";
}
