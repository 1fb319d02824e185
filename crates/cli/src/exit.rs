//! Exit codes, which scripts and CI rely on. `run` and `code` pass the program's own code on beside these.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    /// Everything is fine.
    pub(crate) const OK: Self = Self(0);
    /// There are findings, or something went wrong that is none of the others.
    pub(crate) const FINDINGS: Self = Self(1);
    /// The command line or the configuration is wrong.
    pub(crate) const USAGE: Self = Self(2);
    /// The program's time was over.
    pub(crate) const TIMEOUT: Self = Self(124);
    /// No sandbox could be made, or it broke.
    pub(crate) const SANDBOX: Self = Self(125);
    /// The script is there, but nothing can run it.
    pub(crate) const NOT_RUNNABLE: Self = Self(126);
    /// There is no such script.
    pub(crate) const NO_SCRIPT: Self = Self(127);
    /// Ctrl-C: 128 and the number of SIGINT.
    pub(crate) const INTERRUPTED: Self = Self(130);
    /// Whoever read our standard output went away: 128 and the number of SIGPIPE.
    pub(crate) const BROKEN_PIPE: Self = Self(141);

    /// The exit code of a program inside, as far as the system can pass it on.
    pub(crate) fn of_program(code: i32) -> Self {
        Self(u8::try_from(code).unwrap_or(Self::FINDINGS.0))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// The codes as the help of `run` and `code` shows them.
pub(crate) const OF_PROGRAMS: &str = "\
Exit codes:
  the program's own code, or
  2    wrong usage or configuration    126  the script cannot be run
  124  timeout                         127  no such script
  125  sandbox error                   130  Ctrl-C
                                       137  out of memory";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_do_not_fit_are_still_failures() {
        assert_eq!(Exit::of_program(0), Exit::OK);
        assert_eq!(Exit::of_program(255), Exit(255));
        assert_eq!(Exit::of_program(-1), Exit::FINDINGS);
        assert_eq!(Exit::of_program(256), Exit::FINDINGS);
    }

    #[test]
    fn the_help_names_the_constants() {
        for exit in [Exit::USAGE, Exit::TIMEOUT, Exit::SANDBOX, Exit::NOT_RUNNABLE, Exit::NO_SCRIPT] {
            assert!(OF_PROGRAMS.contains(&format!("{}  ", exit.0)), "{exit:?}");
        }
        assert!(OF_PROGRAMS.contains("130  Ctrl-C") && OF_PROGRAMS.contains("137  out of memory"));
    }
}
