//! The command line as a user sees it: what is printed where, and the exit code.

mod codes;
mod deep;
mod help;
mod programs;
mod signals;
mod skills;
