//! Layers made by the real uv and the real pip: from wheels made here, and from the configured package index.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod index;
#[cfg(test)]
mod local;
#[cfg(test)]
mod support;
