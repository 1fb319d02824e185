//! Which `Host` and which `Origin` a request may have.
//!
//! A web page can make a browser send requests to a loopback port. With DNS rebinding the page even reads the answers, but
//! then the browser names the page's own host, which is not one of ours. An `Origin` says which page it was.

use std::net::IpAddr;

/// Names by which this server may be called.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    names: Vec<String>,
}

/// Origins of pages that may send requests.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    origins: Vec<String>,
}

impl Hosts {
    pub(crate) fn new(configured: &[String]) -> Self {
        Self { names: configured.iter().map(|name| normal(name)).collect() }
    }

    /// Whether a client that connected to `local` may call it `host` (with or without a port).
    pub(crate) fn allow(&self, host: &str, local: Option<IpAddr>) -> bool {
        let Some(name) = without_port(host) else { return false };
        let name = normal(name);
        match name.parse::<IpAddr>() {
            // An address is no name that could be bound to another address.
            Ok(address) => {
                address.is_loopback()
                    || Some(address) == local.map(|local| local.to_canonical())
                    || self.names.contains(&name)
            }
            Err(_) => name == "localhost" || self.names.contains(&name),
        }
    }
}

impl Origins {
    pub(crate) fn new(configured: &[String]) -> Self {
        let clean = |origin: &String| origin.trim_end_matches('/').to_ascii_lowercase();
        Self { origins: configured.iter().map(clean).collect() }
    }

    /// Whether a page of this origin may send requests. `null` (a sandboxed page, a local file) only where it is listed.
    pub(crate) fn allow(&self, origin: &str) -> bool {
        self.origins.contains(&origin.to_ascii_lowercase())
    }
}

fn normal(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
}

/// `name`, `name:port`, `[v6]`, `[v6]:port`; `None` for what is none of these.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            (address, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let good = !name.is_empty() && port.is_none_or(|port| port.parse::<u16>().is_ok());
    good.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_the_own_address_and_configured_names_only() {
        let hosts = Hosts::new(&["Runner.example.com".into()]);
        let local = Some("10.0.0.5".parse().unwrap());
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.:1",
            "127.0.0.1:80",
            "127.1.2.3",
            "[::1]:80",
            "[::1]",
            "10.0.0.5:8080",
            "runner.example.com",
            "runner.example.com.:443",
        ] {
            assert!(hosts.allow(good, local), "{good}");
        }
        for bad in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.6",
            "runner.example.com:x",
            "[::1",
            "[::1]x",
            "::1",
            "localhost:80:80",
            "0.0.0.0",
            "localhost@evil.example",
            "localhost:99999",
        ] {
            assert!(!hosts.allow(bad, local), "{bad}");
        }
        assert!(!hosts.allow("10.0.0.5", None));
    }

    #[test]
    fn origins_match_as_a_whole() {
        let origins = Origins::new(&["https://chat.example.com/".into()]);
        assert!(origins.allow("https://chat.example.com") && origins.allow("HTTPS://CHAT.example.com"));
        for bad in [
            "null",
            "",
            "http://chat.example.com",
            "https://chat.example.com:444",
            "https://chat.example.com.evil",
            "http://localhost",
        ] {
            assert!(!origins.allow(bad), "{bad}");
        }
    }
}
