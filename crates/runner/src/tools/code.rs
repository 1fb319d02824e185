//! `code_run`: code as a file outside of the workspace, so that a traceback can show its lines.

use bytes::Bytes;
use sandbox::layout;
use tool::{CodeRun, Language};

use crate::tools::program::{Program, Start};

/// The program for a piece of code.
pub(crate) fn program(run: CodeRun) -> Program {
    let CodeRun { language, code, timeout } = run;
    let (interpreter, extension) = match language {
        Language::Python => ("python3", "py"),
        Language::Bash => ("bash", "sh"),
    };
    Program {
        interpreter,
        start: Start::Code { extension, code: Bytes::from(code) },
        args: Vec::new(),
        cwd: layout::WORKSPACE.to_owned(),
        stdin: None,
        skill: None,
        timeout,
    }
}
