//! The operator's package index, as the only thing that pip and uv can reach.
//!
//! ```text
//!   pip, uv ── http on a loopback of their own ──▶ mirror ──▶ fetch ──▶ index, the hosts that its pages name
//!   (room)                                          │ page: only wheels, links rewritten to the mirror
//!                                                   └ wheel: metadata looked at before anybody gets it
//! ```
//!
//! Pages and files are an attacker's text. So the runner's side reads them, within bounds, follows links and redirects
//! itself, and refuses what leads elsewhere than to public hosts or to the operator's own index. Credentials, proxies and
//! certificates stay on this side. What a page or a package did is kept as a [`Fault`], since the tools would only tell
//! that some request failed.

mod address;
mod fetch;
mod metadata;
mod mirror;
mod page;
mod settings;

pub(crate) use self::{
    mirror::{Fault, Mirror, Offers},
    settings::Settings,
};
