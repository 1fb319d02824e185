//! Test files for tests: good ones, and bad ones with what is said of each. The parser and the published schema are held to
//! the same ones.

/// Files in which nothing is wrong.
pub(crate) const GOOD: &[&str] = &[
    "version: 1\ncases:\n  - name: a\n    run: { script: a.py }\n    expect: { exit_code: 0 }\n",
    // Everything at once.
    r#"
version: 1
cases:
  - name: everything
    run: { script: scripts/a.py, args: ["--size", 10, true], input: { a: [1, { b: null }] } }
    input: { files: { data/a.csv: fixtures/a.csv }, env: { TZ: Europe/Berlin, N: 1 } }
    limits: { timeout: 1m30s, memory: 256M }
    expect:
      exit_code: "!= 0"
      stdout:
        equals: "x\n"
        contains: [a, 1]
        not_contains: b
        matches: ['^a+$', b]
        json: { "": [1], "/a~1b/0": { c: null } }
        snapshot: snapshots/out.txt
      stderr: ""
      files:
        - a.txt
        - { path: "*.png", count: ">=2", media_type: image/png, size: ">1K", sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 }
        - { path: b.png, image: { format: png, width: 100, height: "<= 50", min_width: 1, max_height: 9 } }
        - { path: /output/c.csv, csv: { rows: 3, columns: [a, b], contains: [{ a: 1 }, { b: x }], delimiter: ";" } }
        - { path: d.json, json: { "/a": 1 } }
        - { path: "**/e.md", text: { contains: x } }
        - { path: f, count: 0 }
      no_other_files: true
      max_duration: 5s
      network: none
  - name: with a reason
    skip: needs a newer Python
    code: { language: bash, source: "sleep 60" }
    input: { stdin: "" }
    limits: { timeout: 1 }
    expect: { timed_out: true, out_of_memory: false }
  - name: code from a file
    code: { file: fixtures/check.py }
    expect: { stdout: "" }
  - name: steps
    steps:
      - octavus_file_write: { path: /workspace/in.txt, content: hello }
      - octavus_skill_list:
        expect: { result: { "/scripts/0/path": scripts/a.py } }
      - octavus_skill_run: { script: none.py }
        expect: { error: SCRIPT_NOT_FOUND }
      - octavus_file_read: { path: /etc/shadow }
        expect: { error: { code: PATH_NOT_ALLOWED, contains: /etc/shadow } }
      - octavus_skill_read: { skill: other }
        expect: { error: "Skill not found" }
      - octavus_code_run: { language: bash, code: "true", timeout: 500 }
"#,
];

/// Whether the published schema can see a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    Sees,
    /// It takes looking at the text, or at two places at once.
    Blind,
}

/// A file with mistakes: it, what is said of it (all of it, in order), and whether the schema sees one of them.
pub(crate) type Bad = (&'static str, &'static [&'static str], Schema);

/// A whole file around the rest of its one case.
pub(crate) fn case(rest: &str) -> String {
    format!(
        "version: 1\ncases:\n  - name: a\n{}",
        rest.lines().map(|line| format!("    {line}\n")).collect::<String>()
    )
}

/// Whole files.
pub(crate) const BAD_FILES: &[Bad] = &[
    ("cases: []\n", &["1:1: `version` is missing", "1:8: there are no cases"], Schema::Sees),
    (
        "version: 2\ncases:\n  - name: a\n    run: { script: a }\n    expect: { exit_code: 0 }\n",
        &["1:10: only version 1 of test files is known"],
        Schema::Sees,
    ),
    ("version: 1\n", &["1:1: `cases` is missing"], Schema::Sees),
    (
        "version: 1\ncase: []\ncases: [x]\n",
        &[
            "2:1: unknown key `case` in a test file",
            "3:9: a case must be a map with keys such as `name`, but is text",
        ],
        Schema::Sees,
    ),
    ("- 1\n", &["1:1: a test file must be a map with keys such as `version`, but is a list"], Schema::Sees),
    (
        "version: 1\ncases:\n  - &a { name: a }\n",
        &["3:8: an anchor or a tag cannot be used in a test file"],
        Schema::Blind,
    ),
    (
        "version: 1\nversion: 1\ncases: [{ name: a, run: { script: a }, expect: { exit_code: 0 } }]\n",
        &["2:1: `version` is here twice"],
        Schema::Blind,
    ),
    (
        "version: 1\ncases:\n  - { name: a, run: { script: a }, expect: { exit_code: 0 } }\n  - { name: a, run: { script: a }, expect: { exit_code: 0 } }\n",
        &["4:13: another case in line 3 has the same name"],
        Schema::Blind,
    ),
];

/// The rest of a case, from line 4 on.
pub(crate) const BAD_CASES: &[Bad] = &[
    ("expect: { exit_code: 0 }", &["3:5: a case needs one of `run`, `code` and `steps`"], Schema::Sees),
    (
        "run: { script: a }\ncode: { language: bash, source: x }\nexpect: { exit_code: 0 }",
        &["5:5: a case has either `run` or `code`"],
        Schema::Sees,
    ),
    ("run: { script: a }", &["3:5: the case expects nothing, so it could never fail"], Schema::Sees),
    (
        "run: { script: a }\nexpect: {}",
        &["5:5: the case expects nothing, so it could never fail"],
        Schema::Sees,
    ),
    (
        "run: { script: a }\nexpect:",
        &["5:11: `expect` must be a map with keys such as `exit_code`, but is empty"],
        Schema::Sees,
    ),
    (
        "run: { script: a }\nexpect: { exitcode: 0 }",
        &["5:15: unknown key `exitcode` in `expect`"],
        Schema::Sees,
    ),
    (
        "run: { script: a }\nexpect: { exit_code: 0, network: off }",
        &["5:38: `network` must not be `off`"],
        Schema::Sees,
    ),
    (
        "run: { arg: [] }\nexpect: { exit_code: 0 }",
        &["4:10: `run` needs a `script`", "4:12: unknown key `arg` in `run`"],
        Schema::Sees,
    ),
    (
        "run: { script: a, args: x }\nexpect: { exit_code: 0 }",
        &["4:29: `args` must be a list, but is text"],
        Schema::Sees,
    ),
    (
        "run: { script: a, args: [[x]] }\nexpect: { exit_code: 0 }",
        &["4:30: an argument must be text, but is a list"],
        Schema::Sees,
    ),
    (
        "run: { script: a, input: 1 }\nexpect: { exit_code: 0 }",
        &[
            "4:10: Invalid arguments for octavus_skill_run: input must be a JSON object, for example {\"size\": 10}",
        ],
        Schema::Sees,
    ),
    ("code: { source: x }\nexpect: { exit_code: 0 }", &["4:11: `code` needs a `language`"], Schema::Sees),
    (
        "code: { language: perl, source: x }\nexpect: { exit_code: 0 }",
        &["4:11: Invalid arguments for octavus_code_run: language must be one of python, bash"],
        Schema::Sees,
    ),
    (
        "code: { language: bash, source: x, file: y }\nexpect: { exit_code: 0 }",
        &["4:40: `code` has either `source` or `file`"],
        Schema::Sees,
    ),
    (
        "code: { language: bash }\nexpect: { exit_code: 0 }",
        &["4:11: `code` needs `source` or `file`"],
        Schema::Sees,
    ),
    (
        "skip: true\nrun: { script: a }\nexpect: { exit_code: 0 }",
        &["4:11: `skip` must say why"],
        Schema::Sees,
    ),
    (
        "limits: { timeout: soon, memory: 0 }\nrun: { script: a }\nexpect: { exit_code: 0 }",
        &["4:24: `timeout` must be a time", "4:38: `memory` must be a size"],
        Schema::Sees,
    ),
    (
        "limits: { timeout: 25h }\nrun: { script: a }\nexpect: { exit_code: 0 }",
        &["4:24: `timeout` must be a time"],
        Schema::Blind,
    ),
    (
        "input: { stdin: x }\nrun: { script: a, input: {} }\nexpect: { exit_code: 0 }",
        &["4:21: `stdin` and the `input` of `run` are both standard input"],
        Schema::Blind,
    ),
    (
        "input: { files: { a: [] }, envs: {} }\nrun: { script: a }\nexpect: { exit_code: 0 }",
        &["4:26: a fixture must be text, but is a list", "4:32: unknown key `envs` in `input`"],
        Schema::Sees,
    ),
    ("steps: []", &["4:12: there are no steps"], Schema::Sees),
    (
        "steps: [{ octavus_skill_list: {} }]",
        &["4:12: no step expects anything, so the case could never fail"],
        Schema::Blind,
    ),
    ("steps: [{ octavus_skill_list: {}, expect: {} }]", &["4:39: `expect` says nothing"], Schema::Sees),
    (
        "steps: [{ octavus_skill_lst: {} }]",
        &["4:15: unknown key `octavus_skill_lst` in a step"],
        Schema::Sees,
    ),
    ("steps: [{ expect: { exit_code: 0 } }]", &["4:13: a step needs one of the six tools"], Schema::Sees),
    (
        "steps: [{ octavus_skill_list: {}, octavus_skill_read: {} }]",
        &["4:39: a step has one tool only"],
        Schema::Sees,
    ),
    (
        "steps: [{ octavus_file_write: { path: a }, expect: { result: { /size: 0 } } }]",
        &["4:15: Invalid arguments for octavus_file_write: content is missing; it must be a string"],
        Schema::Blind,
    ),
    (
        "steps: [{ octavus_skill_list: {}, expect: { exit_code: 0 } }]",
        &["4:60: octavus_skill_list runs no program"],
        Schema::Blind,
    ),
    (
        "steps: [{ octavus_skill_list: {} }]\nexpect: { exit_code: 0 }",
        &[
            "4:12: no step expects anything, so the case could never fail",
            "5:5: in a case with `steps`, each step has its own `expect`",
        ],
        Schema::Sees,
    ),
];

/// The inside of an `expect`, in line 5 from column 13 on.
pub(crate) const BAD_EXPECTS: &[Bad] = &[
    ("exit_code: -1", &["5:26: `exit_code` must be a whole number or a comparison"], Schema::Sees),
    ("exit_code: '=>0'", &["5:26: `exit_code` must be a whole number or a comparison"], Schema::Sees),
    ("stdout:", &["5:21: `stdout` must be text, but is empty"], Schema::Sees),
    ("stdout: []", &["5:23: `stdout` must be text, but is a list"], Schema::Sees),
    ("stdout: { has: x }", &["5:25: unknown key `has` in `stdout`"], Schema::Sees),
    (
        "exit_code: 0, stdout: { contains: '' }",
        &["5:49: `contains` must not be empty: that is in every text"],
        Schema::Sees,
    ),
    ("exit_code: 0, stdout: { contains: [] }", &["5:49: `contains` must not be an empty list"], Schema::Sees),
    (
        "exit_code: 0, stdout: { matches: '(' }",
        &["5:48: invalid regular expression: unclosed group"],
        Schema::Blind,
    ),
    ("exit_code: 0, stdout: { json: { a: 1 } }", &["5:47: `a` is no JSON pointer"], Schema::Sees),
    ("exit_code: 0, stdout: { json: {} }", &["5:45: `json` says nothing"], Schema::Sees),
    (
        "exit_code: 0, stdout: { snapshot: ../scripts/a.py }",
        &["5:49: a snapshot cannot be at `../scripts/a.py`"],
        Schema::Blind,
    ),
    ("exit_code: 0, files: []", &["5:36: `files` must not be an empty list"], Schema::Sees),
    (
        "exit_code: 0, files: [{ media_type: image/png }]",
        &["5:37: an entry of `files` needs a `path`"],
        Schema::Sees,
    ),
    (
        "files: [{ path: a, mediatype: x/y }]",
        &["5:34: unknown key `mediatype` in an entry of `files`"],
        Schema::Sees,
    ),
    ("files: [{ path: a, media_type: png }]", &["5:46: `png` is no media type"], Schema::Sees),
    ("exit_code: 0, files: [/etc/passwd]", &["5:37: `/etc/passwd` is not below /output"], Schema::Blind),
    (
        "exit_code: 0, files: ['a[']",
        &["5:37: invalid pattern: unclosed character class; missing ']'"],
        Schema::Blind,
    ),
    ("files: [{ path: a, sha256: abc }]", &["5:42: `sha256` must have 64 hexadecimal digits"], Schema::Sees),
    (
        "files: [{ path: a, size: big }]",
        &["5:40: `size` must be a whole number or a comparison"],
        Schema::Sees,
    ),
    ("files: [{ path: a, image: {} }]", &["5:41: `image` says nothing"], Schema::Sees),
    (
        "files: [{ path: a, image: { format: pgn } }]",
        &["5:51: `pgn` is no image format that is known here"],
        Schema::Sees,
    ),
    (
        "files: [{ path: a, image: { min_width: '1' } }]",
        &["5:54: `min_width` must be a whole number, but is text"],
        Schema::Sees,
    ),
    ("files: [{ path: a, csv: {} }]", &["5:39: `csv` says nothing"], Schema::Sees),
    (
        "files: [{ path: a, csv: { contains: [] } }]",
        &["5:51: `contains` must not be an empty list"],
        Schema::Sees,
    ),
    (
        "files: [{ path: a, csv: { rows: 1, delimiter: '||' } }]",
        &["5:61: `delimiter` must be one character"],
        Schema::Sees,
    ),
    (
        "files: [{ path: a, csv: { contains: { } } }]",
        &["5:51: a row in `contains` needs a column"],
        Schema::Sees,
    ),
    (
        "files: [{ path: a, count: 0, size: 1 }]",
        &["5:23: there is nothing to check in files that must not be there"],
        Schema::Blind,
    ),
    ("timed_out: yes", &["5:26: `timed_out` must be `true` or `false`, but is text"], Schema::Sees),
    ("no_other_files: false", &["5:5: the case expects nothing, so it could never fail"], Schema::Blind),
    ("error: SCRIPT_NOT_FOUNT", &["5:22: there is no error code `SCRIPT_NOT_FOUNT`"], Schema::Sees),
    ("error: {}", &["5:22: `error` says nothing"], Schema::Sees),
    ("error: SCRIPT_NOT_FOUND, exit_code: 1", &["5:51: a call that is refused runs nothing"], Schema::Sees),
    ("max_duration: 0s", &["5:29: `max_duration` must be a time"], Schema::Blind),
    ("result: { '/a': 1 }, result: 2", &["5:36: `result` is here twice"], Schema::Blind),
];

/// Every bad file, whole.
pub(crate) fn bad() -> Vec<(String, &'static [&'static str], Schema)> {
    let files = BAD_FILES.iter().map(|(text, said, schema)| ((*text).to_owned(), *said, *schema));
    let cases = BAD_CASES.iter().map(|(rest, said, schema)| (case(rest), *said, *schema));
    let expects = BAD_EXPECTS.iter().map(|(inside, said, schema)| {
        (case(&format!("run: {{ script: a }}\nexpect: {{ {inside} }}")), *said, *schema)
    });
    files.chain(cases).chain(expects).collect()
}
