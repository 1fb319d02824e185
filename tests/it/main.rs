//! What must hold for the whole, tested from outside: the real executable, real sandboxes, real HTTP.
//!
//! One binary, so that it is linked once. Tests that need something of the machine say so with `require`.

#[cfg(test)]
mod away;
#[cfg(test)]
mod ci_parts;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod dev;
#[cfg(test)]
mod docker;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod http;
#[cfg(test)]
mod images;
#[cfg(test)]
mod new_skill;
#[cfg(test)]
mod octavus;
#[cfg(test)]
mod pack;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod podman;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod skill_tests;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod validate;
#[cfg(test)]
mod walls;
