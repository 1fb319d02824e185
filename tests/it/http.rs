//! `skillbox serve` from outside: tool calls over HTTP, their events, their files, and who is turned away.

mod access;
mod calls;
mod files;
mod life;
mod skills;
