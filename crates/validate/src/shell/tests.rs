//! Commands wherever a shell allows them.

use proptest::prelude::*;

use super::*;

fn commands(text: &str) -> Vec<String> {
    let shown = |command: &Command| {
        let words = command
            .words
            .iter()
            .map(|word| if word.is_literal { word.start.clone() } else { format!("{}…", word.start) });
        let outputs = command.outputs.iter().map(|word| format!(">{}", word.start));
        let background = command.background.then(|| "&".to_owned());
        words.chain(outputs).chain(background).collect::<Vec<_>>().join(" ")
    };
    Shell::parse(text).commands.iter().map(shown).collect()
}

#[test]
fn commands_are_found_wherever_they_stand() {
    let check = |text: &str, expected: &[&str]| assert_eq!(commands(text), expected, "{text}");
    check("a 'b c' \"d $e f\" # g\n\nh\\\n i", &["a b c d …", "h i"]);
    check("if ! a; then b && c || d; fi | e &\n", &["a", "b", "c", "d", "e &"]);
    check("x=$(a | b \"$(c d)\") e", &["a", "c d", "b …", "e"]);
    check("a `b c` d", &["b c", "a … d"]);
    check("a > out 2>&1 < in >> \"more/$x\"", &["a >out >&1 >more/"]);
    check("cat <<'EOF' > x\nsudo rm\nEOF\nb", &["cat >x", "b"]);
    check("cat <<-EOF\n\tsudo\n\tEOF\nb <<< c d", &["cat", "b d"]);
    check("case $x in\n a|b) c ;;\n (d) e;;\n *) f ;;\nesac\ng", &["c", "e", "f", "g"]);
    check("f() { a; }\nfunction g { b; }\nf", &["a", "b", "f"]);
    check("[[ a > b && (c < d || ! e) ]] && f", &["f"]);
    check("for f in a b; do c; done", &["c"]);
    check("a=(b c) d=1 e ${f:-g h} $((1 + 2))", &["e … …"]);
    check("(cd a; b) && ((x > 1)) || c", &["cd a", "b", "c"]);
    check("diff <(a b) <(c)", &["a b", "c", "diff … …"]);
}

#[test]
fn wrappers_are_looked_through() {
    let program = |text: &str| {
        Shell::parse(text).commands[0]
            .program()
            .iter()
            .map(|word| word.start.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(program("exec env -i A=1 timeout 5 curl x"), "curl x");
    assert_eq!(program("command -v curl"), "command -v curl");
    assert_eq!(program("env"), "env");
}

#[test]
fn variables_are_known() {
    let shell = Shell::parse(
        "A=1 b=2; export C=3 D; for e in 1; do read -r f; done; echo $A ${G:?no} \"${H:-x}\" '$I'",
    );
    let assigned: Vec<&str> = shell.assigned.iter().map(String::as_str).collect();
    assert_eq!(assigned, ["A", "C", "b", "e", "f"]);
    let read: Vec<(&str, bool)> =
        shell.variables.iter().map(|(_, name, default)| (name.as_str(), *default)).collect();
    assert_eq!(read, [("A", false), ("G", false), ("H", true)]);
}

proptest! {
    #[test]
    fn any_text_is_read_to_its_end(text in "[a-z $(){}`'\"\\\\<>|&;#\n\r=é]{0,80}") {
        let shell = Shell::parse(&text);
        for word in shell.commands.iter().flat_map(|command| &command.words) {
            prop_assert!(text.get(word.range.clone()).is_some(), "{word:?}");
        }
    }
}
