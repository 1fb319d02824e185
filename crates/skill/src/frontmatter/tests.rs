//! Good, odd and broken `SKILL.md` texts.

use super::*;

/// A text whose fields can be read.
struct Good {
    frontmatter: Frontmatter,
    body: usize,
    diagnostics: Vec<Diagnostic>,
}

fn good(text: &str) -> Good {
    let SkillMarkdown { frontmatter, body, diagnostics } = parse("SKILL.md", text);
    let (Some(frontmatter), Some(body)) = (frontmatter, body) else { panic!("refused: {diagnostics:?}") };
    Good { frontmatter, body, diagnostics }
}

fn rules(text: &str) -> Vec<&'static str> {
    parse("SKILL.md", text).diagnostics.iter().map(|diagnostic| diagnostic.rule.code()).collect()
}

#[test]
fn all_fields_are_read_and_unknown_ones_kept() {
    let text = "---\nname: qr-code\ndescription: >\n  Makes\n  codes\nlicense: MIT\ncompatibility: python 3.11\n\
        metadata:\n  version: 1.10\n  team: core\nallowed-tools: Bash(git add:*) Read\nauthor: Ada\ntriggers: [a, b]\n---\n# Hi\n";
    let markdown = good(text);
    let frontmatter = &markdown.frontmatter;
    assert_eq!(frontmatter.name(), Some("qr-code"));
    assert_eq!(frontmatter.description(), Some("Makes codes"));
    assert_eq!(frontmatter.license(), Some("MIT"));
    assert_eq!(frontmatter.compatibility(), Some("python 3.11"));
    assert_eq!(frontmatter.version(), Some("1.10"));
    assert_eq!(frontmatter.author(), Some("Ada"));
    assert_eq!(frontmatter.allowed_tools(), ["Bash(git add:*)", "Read"]);
    assert_eq!(frontmatter.metadata().collect::<Vec<_>>(), [("version", "1.10"), ("team", "core")]);
    assert_eq!(frontmatter.unknown().map(|field| field.key.as_str()).collect::<Vec<_>>(), ["triggers"]);
    assert_eq!(&text[markdown.body..], "# Hi\n");
    assert!(markdown.diagnostics.is_empty(), "{:?}", markdown.diagnostics);
}

#[test]
fn spans_point_into_the_file() {
    let text = "---\r\nname: é-x\r\ndescription: d\r\n---\r\nbody";
    let markdown = good(text);
    let field = markdown.frontmatter.field("description").unwrap();
    assert_eq!(&text[field.key_span.start.offset..field.key_span.end.offset], "description");
    assert_eq!(&text[field.value_span.start.offset..field.value_span.end.offset], "d");
    assert_eq!((field.value_span.start.line, field.value_span.start.column), (3, 14));
    assert_eq!(&text[markdown.body..], "body");
}

#[test]
fn a_byte_order_mark_and_every_line_end_are_accepted() {
    assert_eq!(rules("\u{feff}---\nname: a\ndescription: b\n---\n"), ["SB007"]);
    assert!(rules("---\r\nname: a\r\ndescription: b\r\n---\r\n").is_empty());
    assert!(rules("---\rname: a\rdescription: b\r---\rx").is_empty());
    assert_eq!(good("---\nname: a\ndescription: b\n---").body, 30);
}

#[test]
fn missing_and_unclosed_frontmatter_are_told_apart() {
    assert_eq!(rules(""), ["SB020"]);
    assert_eq!(rules("# hi\n"), ["SB020"]);
    assert_eq!(rules("\n---\nname: a\n---\n"), ["SB020"]);
    assert_eq!(rules("---\nname: a\n"), ["SB021"]);
    assert_eq!(rules("---\n---\n"), ["SB024"]);
    assert_eq!(rules("---\n- a\n---\n"), ["SB024"]);
    assert_eq!(rules("---\njust text\n---\n"), ["SB024"]);
}

#[test]
fn invalid_yaml_has_a_place() {
    let SkillMarkdown { frontmatter, body, diagnostics: found } =
        parse("SKILL.md", "---\nname: a\ndescription: [x\n---\n");
    assert!(frontmatter.is_none() && body.is_some());
    assert_eq!(found[0].rule, Rule::INVALID_YAML);
    assert!(found[0].location.to_string().starts_with("SKILL.md:"), "{}", found[0]);
    assert!(found[0].location.span.unwrap().start.line >= 3);
}

#[test]
fn an_unquoted_colon_is_read_as_if_quoted_and_said() {
    let text = "---\nname: a\ndescription: Use when: the user's PDF\n  needs: care\nlicense: MIT\n---\n";
    let markdown = good(text);
    assert_eq!(markdown.frontmatter.description(), Some("Use when: the user's PDF needs: care"));
    assert_eq!(markdown.diagnostics[0].rule, Rule::INVALID_YAML);
    assert_eq!(markdown.diagnostics[0].location.span.unwrap().start.line, 3);
    let license = markdown.frontmatter.field("license").unwrap();
    assert_eq!(&text[license.value_span.start.offset..license.value_span.end.offset], "MIT");
    assert_eq!(good("---\nname: a\ndescription: @home\n---\n").frontmatter.description(), Some("@home"));
    assert_eq!(
        good("---\nname: a\nmetadata:\n  note: a: b\n---\n").frontmatter.metadata().collect::<Vec<_>>(),
        [("note", "a: b")]
    );
}

#[test]
fn the_fix_of_a_colon_is_what_is_read() {
    let text = "---\nname: a\ndescription: Use when: the user's PDF\n---\n";
    let markdown = good(text);
    let fix = markdown.diagnostics[0].fix.as_ref().unwrap();
    let [Edit::Replace { range, text: new, .. }] = fix.edits.as_slice() else { panic!("{fix:?}") };
    let mut mended = text.to_owned();
    mended.replace_range(range.clone(), new);
    assert!(good(&mended).diagnostics.is_empty(), "{mended}");
    assert_eq!(good(&mended).frontmatter.description(), Some("Use when: the user's PDF"));
}

#[test]
fn duplicate_keys_are_reported_and_the_last_counts() {
    let markdown = good("---\nname: a\nname: b\ndescription: c\n---\n");
    assert_eq!(markdown.diagnostics[0].rule, Rule::DUPLICATE_KEY);
    assert_eq!(markdown.frontmatter.name(), Some("b"));
}

#[test]
fn anchors_are_reported_and_bombs_refused() {
    assert_eq!(rules("---\nname: &n a\ndescription: *n\n---\n"), ["SB028"]);
    let bomb = format!("---\nname: {}\n---\n", "[".repeat(5_000));
    assert_eq!(rules(&bomb), ["SB029"]);
    let large = format!("---\nname: {}\n---\n", "a".repeat(300_000));
    assert_eq!(rules(&large), ["SB010"]);
}

#[test]
fn a_value_of_unusual_white_space_is_no_panic() {
    for space in ["\u{a0}", "\u{2028}", "\u{85}", "\u{3000}"] {
        let _read = parse("SKILL.md", &format!("---\nname: {space}\nother: @x\n---\n"));
    }
}

#[test]
fn any_text_is_read_or_refused_without_a_panic() {
    let piece = proptest::string::string_regex(
        "(---|\r|\n|: |'|\"|#|[a-c\u{e9}&*!@`%\\[\\]{}|>~-]| |\t|\u{feff}|\u{a0}|\u{85}|\u{2028}){0,60}",
    );
    let config = proptest::test_runner::Config { cases: 2_000, ..Default::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&piece.unwrap(), |text| {
            let text = format!("---\nname: {text}\nk: @\n---\n");
            let markdown = parse("SKILL.md", &text);
            match &markdown.frontmatter {
                Some(frontmatter) => {
                    for field in frontmatter.fields() {
                        let _place = &text[field.value_span.start.offset.min(text.len())..];
                    }
                }
                None => assert!(!markdown.diagnostics.is_empty()),
            }
            for edit in
                markdown.diagnostics.iter().filter_map(|found| found.fix.as_ref()).flat_map(|fix| &fix.edits)
            {
                let Edit::Replace { range, .. } = edit else { continue };
                assert!(text.get(range.clone()).is_some(), "{edit:?}");
            }
            Ok(())
        })
        .unwrap();
}
