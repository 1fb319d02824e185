//! Secrets that came along: keys of well-known forms, private keys, `.env` files.
//!
//! Only forms that services give out are looked for, never "something that looks random". What documentation uses as an
//! example is none, and of what is found only the beginning is shown.

use std::collections::BTreeSet;

use skill::{Diagnostic, Location, Rule};

use crate::{
    paths::name,
    pattern::Pattern,
    subject::{Findings, Subject, Text},
};

/// What a kind of secret is called, how it is written, and how much of it may be shown.
struct Kind {
    what: &'static str,
    pattern: Pattern,
    shown: usize,
}

/// A kind of secret whose `pattern` cannot match without one of each of `words`.
const fn kind(
    what: &'static str,
    pattern: &'static str,
    words: &'static [&'static [&'static str]],
    shown: usize,
) -> Kind {
    Kind { what, pattern: Pattern::new(pattern, words), shown }
}

impl Kind {
    fn look_for(&self, text: &Text, findings: &mut Findings) {
        // The same key is often written several times; its first place is enough.
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for found in self.pattern.captures_iter(&text.content) {
            let (Some(whole), Some(secret)) = (found.get(0), found.get(1)) else { continue };
            if is_example(secret.as_str()) || !seen.insert(secret.as_str()) {
                continue;
            }
            let (range, shown) = match self.shown {
                0 => (whole.start()..secret.start(), String::new()),
                shown => {
                    (secret.range(), format!(" (`{}…`)", secret.as_str().get(..shown).unwrap_or_default()))
                }
            };
            let message = format!("this is {}{shown}", self.what);
            findings.push(Diagnostic::new(Rule::BUNDLED_SECRET, text.at(range), message).with_help(
                "revoke it where it was made, then let the caller pass the new one in the environment",
            ));
        }
    }
}

/// The last group of a pattern is the secret, where it is not the whole.
static KINDS: [Kind; 30] = [
    kind("an AWS access key", r"\b((?:AKIA|ASIA)[A-Z2-7]{16})\b", &[&["AKIA", "ASIA"]], 4),
    kind(
        "an AWS secret access key",
        r#"(?i)aws_?secret_?(?:access_?)?key["']?\s*[=:]\s*["']?([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
        &[&["awssecret", "aws_secret"]],
        2,
    ),
    kind(
        "a GitHub token",
        r"\b(gh[pousr]_[A-Za-z0-9]{36,255})\b",
        &[&["ghp_", "gho_", "ghu_", "ghs_", "ghr_"]],
        4,
    ),
    kind("a GitHub token", r"\b(github_pat_[A-Za-z0-9_]{22,255})\b", &[&["github_pat_"]], 11),
    kind("a GitLab token", r"\b(glpat-[A-Za-z0-9_-]{20,})", &[&["glpat-"]], 6),
    kind("an Anthropic key", r"\b(sk-ant-[a-z]+\d\d-[A-Za-z0-9_-]{32,})", &[&["sk-ant-"]], 7),
    kind(
        "an OpenAI key",
        r"\b(sk-(?:proj|svcacct|admin)-[A-Za-z0-9_-]{32,})",
        &[&["sk-proj-", "sk-svcacct-", "sk-admin-"]],
        8,
    ),
    kind("an OpenAI key", r"\b(sk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})\b", &[&["T3BlbkFJ"]], 3),
    kind("an OpenAI key", r"\b(sk-[A-Za-z0-9]{48})\b", &[&[r"\bsk-"]], 3),
    kind("an OpenRouter key", r"\b(sk-or-v1-[0-9a-f]{64})\b", &[&["sk-or-v1-"]], 6),
    kind("a Google key", r"\b(AIza[0-9A-Za-z_-]{35})(?:[^0-9A-Za-z_-]|$)", &[&["AIza"]], 4),
    kind("a Google client secret", r"\b(GOCSPX-[A-Za-z0-9_-]{28})", &[&["GOCSPX-"]], 7),
    kind(
        "a Slack token",
        r"\b(xox[abeoprs]-[0-9A-Za-z-]{20,})",
        &[&["xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-"]],
        5,
    ),
    kind(
        "a Slack webhook",
        r"(https://hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,})",
        &[&["hooks.slack.com"]],
        33,
    ),
    kind("a Stripe key", r"\b([sr]k_live_[0-9a-zA-Z]{24,})\b", &[&["sk_live_", "rk_live_"]], 8),
    kind("an npm token", r"\b(npm_[A-Za-z0-9]{36})\b", &[&["npm_"]], 4),
    kind("a PyPI token", r"\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,})", &[&["pypi-AgEIcHlwaS5vcmc"]], 5),
    kind("a Hugging Face token", r"\b(hf_[A-Za-z0-9]{34,40})\b", &[&["hf_"]], 3),
    kind(
        "a password in an address",
        r"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?)(?:\+\w+)?://[\w.%-]+:([^\s:@/<>{}$*'\x22`\x5b\x5d|]{8,})@[\w.-]+\.[a-z]{2,}",
        &[&["postgres", "mysql", "mariadb", "mongodb", "redis", "amqp"], &["://"]],
        2,
    ),
    kind("a SendGrid key", r"\b(SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43})", &[&[r"\bSG."]], 3),
    kind("a Telegram bot token", r"\b(\d{8,10}:AA[A-Za-z0-9_-]{33})(?:[^A-Za-z0-9_-]|$)", &[&[":AA"]], 3),
    kind("a DigitalOcean token", r"\b(do[opr]_v1_[a-f0-9]{64})\b", &[&["doo_v1_", "dop_v1_", "dor_v1_"]], 7),
    kind("a Databricks token", r"\b(dapi[a-f0-9]{32})\b", &[&["dapi"]], 4),
    kind("a Groq key", r"\b(gsk_[A-Za-z0-9]{52})\b", &[&["gsk_"]], 4),
    kind("an xAI key", r"\b(xai-[A-Za-z0-9]{80})\b", &[&["xai-"]], 4),
    kind("a Replicate token", r"\b(r8_[A-Za-z0-9]{37})\b", &[&[r"\br8_"]], 3),
    kind("a Perplexity key", r"\b(pplx-[A-Za-z0-9]{48})\b", &[&["pplx-"]], 5),
    kind("a Linear key", r"\b(lin_api_[A-Za-z0-9]{40})\b", &[&["lin_api_"]], 8),
    kind(
        "a signed token",
        r"\b(eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{40,})",
        &[&[".eyJ"]],
        3,
    ),
    kind(
        "a private key",
        r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |ENCRYPTED )?PRIVATE KEY-----((?:\\n|[\s\\])+(?:[A-Za-z0-9+/=]{40,}(?:\\n|[\s\\])*){2})",
        &[&["-----BEGIN "], &["PRIVATE KEY-----"]],
        0,
    ),
];

/// A variable that is set to something.
static ASSIGNMENT: Pattern =
    Pattern::new(r#"(?m)^\s*(?:export\s+)?[A-Za-z_]\w*[ \t]*=[ \t]*["']?([^\s"'#<$]{6,})"#, &[&["="]]);

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    for file in subject.draft.files() {
        let Some(text) = subject.text(&file.path) else { continue };
        if is_environment(name(&file.path))
            && ASSIGNMENT.captures_iter(&text.content).any(|found| !is_example(&found[1]))
        {
            findings.push(environment(&file.path, "the file sets variables, which are secrets as a rule"));
        }
        for kind in &KINDS {
            kind.look_for(text, findings);
        }
    }
    // From a folder such a file is never taken along, but whoever packed this bundle did.
    if subject.draft.is_bundle() {
        for path in subject.draft.ignored().iter().filter(|path| is_environment(name(path))) {
            findings.push(environment(path, "the bundle has a file for secrets"));
        }
    }
}

fn environment(path: &str, message: &str) -> Diagnostic {
    Diagnostic::new(Rule::BUNDLED_SECRET, Location::file(path), message).with_help(
        "delete the file, revoke what is in it, and let the caller pass the values in the environment",
    )
}

fn is_environment(name: &str) -> bool {
    let example = ["example", "sample", "template", "dist", "defaults", "schema"];
    name == ".env"
        || name.strip_prefix(".env.").is_some_and(|rest| !example.iter().any(|word| rest.contains(word)))
}

/// Whether a value is one that documentation shows, or too regular to have been drawn at random.
fn is_example(secret: &str) -> bool {
    // The key that AWS documents, the token of jwt.io, and the demo tokens of Supabase's documentation.
    let documented = [
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "eyJzdWIiOiIxMjM0NTY3ODkwI",
        "zdXBhYmFzZS1kZW1v",
    ];
    let lower = secret.to_lowercase();
    let words = [
        "example",
        "xxx",
        "your",
        "placeholder",
        "dummy",
        "fake",
        "sample",
        "redacted",
        "changeme",
        "replace",
        "insert",
        "secret",
        "password",
        "abcdef",
        "123456",
        "qwerty",
        "000000",
        "aaaa",
        "test",
        "todo",
        "localhost",
        "foobar",
        "...",
        "****",
    ];
    documented.iter().any(|known| secret.contains(known))
        || words.iter().any(|word| lower.contains(word))
        || entropy(secret) < 3.0
}

/// Shannon's entropy in bits for each byte.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let total = f64::from(counts.iter().sum::<u32>());
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::found, *};

    /// Letters and digits without an order that a person would see; the pieces are joined here so that no scanner of
    /// this repository takes them for keys.
    fn random(length: usize) -> String {
        let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('2'..='7').collect();
        let mut state = 12_345_usize;
        let mut next = || {
            state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
            alphabet[(state >> 8) % alphabet.len()]
        };
        std::iter::repeat_with(&mut next).take(length).collect()
    }

    #[test]
    fn the_words_of_every_pattern_are_needed() {
        KINDS.iter().map(|kind| &kind.pattern).chain([&ASSIGNMENT]).for_each(Pattern::prove);
    }

    #[test]
    fn keys_are_found_and_not_shown() {
        let keys = [
            (format!("AKIA{}", random(16).to_uppercase()), "this is an AWS access key (`AKIA…`)"),
            (format!("ghp_{}", random(36)), "this is a GitHub token (`ghp_…`)"),
            (format!("sk-ant-api03-{}", random(90)), "this is an Anthropic key (`sk-ant-…`)"),
            (format!("sk-proj-{}", random(60)), "this is an OpenAI key (`sk-proj-…`)"),
            (format!("AIza{}", random(35)), "this is a Google key (`AIza…`)"),
            (format!("sk_live_{}", random(24)), "this is a Stripe key (`sk_live_…`)"),
        ];
        for (key, wanted) in keys {
            let text = format!("a = \"é\"\nKEY = \"{key}\"\nAGAIN = \"{key}\"\n");
            let found = found(&[("scripts/a.py", &text)], Rule::BUNDLED_SECRET);
            assert_eq!(found, [format!("scripts/a.py:2:8: error[SB300]: {wanted}")], "{key}");
        }
        let body = format!("{}\n{}\n{}", random(64), random(64), random(20));
        let key = ["-----BEGIN RSA PRIVATE", &format!(" KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n")]
            .concat();
        assert_eq!(
            found(&[("k.pem", &key)], Rule::BUNDLED_SECRET),
            ["k.pem:1:1: error[SB300]: this is a private key"]
        );
    }

    #[test]
    fn examples_are_not_keys() {
        for text in [
            "AKIAIOSFODNN7EXAMPLE",
            "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "sk-ant-api03-your-key-here-0000000000000000000000",
            "sk-proj-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----",
        ] {
            assert_eq!(found(&[("a.md", text)], Rule::BUNDLED_SECRET), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_file_for_secrets_is_one() {
        let found = |files: &[(&str, &str)]| found(files, Rule::BUNDLED_SECRET);
        assert_eq!(found(&[(".env", "TOKEN=9f8e7d6c5b4a")]).len(), 1);
        assert_eq!(
            found(&[(".env.example", "TOKEN=9f8e7d6c5b4a"), (".env", "TOKEN=\nX=<your token>\n")]),
            [""; 0]
        );
    }
}
