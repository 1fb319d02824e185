//! What every sandbox has beside its root directory, whatever made that: a few small files that programs take for granted.
//!
//! They are the same under every driver. One that a root directory brings along itself is left alone, where a driver can
//! see that.

use crate::layout::USER_ID;

/// Name of the sandbox, as `hostname` says it.
pub const HOSTNAME: &str = "sandbox";

/// Content of `/etc/hosts`: nothing but itself.
pub const HOSTS: &str = "127.0.0.1 localhost sandbox\n::1 localhost ip6-localhost ip6-loopback\n";

/// The program `python` in [`COMMANDS`](crate::layout::COMMANDS): many write that name, and distributions have only
/// `python3`. That directory is the last of the search path, so a `python` of the root directory comes first.
pub const PYTHON: &str = "#!/bin/sh\nexec python3 \"$@\"\n";

/// The user of programs, as `/etc/passwd` has users, without a line end.
#[must_use]
pub fn passwd_entry(name: &str, shell: &str) -> String {
    format!("{name}:x:{USER_ID}:{USER_ID}:{name}:/tmp:{shell}")
}

/// Protocols that `getprotobyname` knows, in the form of `/etc/protocols`.
pub const PROTOCOLS: &str = "\
ip 0 IP
icmp 1 ICMP
igmp 2 IGMP
tcp 6 TCP
udp 17 UDP
ipv6 41 IPv6
gre 47 GRE
esp 50 ESP
ah 51 AH
ipv6-icmp 58 IPv6-ICMP
sctp 132 SCTP
udplite 136 UDPLite
";

/// Services that `getservbyname` knows, in the form of `/etc/services`.
pub const SERVICES: &str = "\
echo 7/tcp
echo 7/udp
discard 9/tcp
discard 9/udp
daytime 13/tcp
ftp-data 20/tcp
ftp 21/tcp
ssh 22/tcp
telnet 23/tcp
smtp 25/tcp mail
time 37/tcp
domain 53/tcp
domain 53/udp
tftp 69/udp
http 80/tcp www
http 80/udp
kerberos 88/tcp
kerberos 88/udp
pop3 110/tcp
ntp 123/udp
imap2 143/tcp imap
snmp 161/udp
ldap 389/tcp
https 443/tcp
https 443/udp
submissions 465/tcp smtps
syslog 514/udp
submission 587/tcp
ldaps 636/tcp
rsync 873/tcp
ftps 990/tcp
imaps 993/tcp
pop3s 995/tcp
socks 1080/tcp
mysql 3306/tcp
postgresql 5432/tcp
amqp 5672/tcp
redis 6379/tcp
http-alt 8080/tcp
";
