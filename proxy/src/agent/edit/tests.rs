use proptest::prelude::*;

use super::*;

fn replace(search: &str, replace: &str) -> Change {
    Change::Replace {
        search: search.to_owned(),
        replace: replace.to_owned(),
    }
}

fn applied(before: &str, change: &Change) -> Result<String, Flaw> {
    apply(Some(before), change, 1, "a.rs")
}

#[test]
fn an_answer_is_read_with_its_talk() {
    let text = "Sure! The sign is wrong.\n\n**FILE: `src/a.rs`**\n```rust\n<<<<<<< SEARCH\na - b\n=======\na + b\n>>>>>>> REPLACE\n```\n\
                <<<<<<< SEARCH\nx\n=======\n>>>>>>> REPLACE\nREAD: src/b.rs\nFILE: new.md\n<<<<<<< WHOLE\n# New\n\ntext\n>>>>>>> END\nDone.";
    let answer = parse(text).unwrap();
    let edits: Vec<_> = answer.edits.iter().map(|e| (&*e.path, &e.change)).collect();
    assert_eq!(
        edits,
        [
            ("src/a.rs", &replace("a - b\n", "a + b\n")),
            ("src/a.rs", &replace("x\n", "")),
            ("new.md", &Change::Whole("# New\n\ntext\n".into())),
        ]
    );
    assert_eq!(answer.reads, ["src/b.rs"]);
    assert_eq!(parse("I cannot help.").unwrap(), Answer::default());
}

#[test]
fn a_block_that_cannot_be_told_is_named() {
    let nameless = parse("<<<<<<< WHOLE\nx\n>>>>>>> END").unwrap_err();
    assert_eq!(nameless, Flaw::Nameless { number: 1 });
    let open = "FILE: a\n<<<<<<< WHOLE\nx\n>>>>>>> END\n<<<<<<< SEARCH\nx\n=======\ny\n";
    assert_eq!(parse(open).unwrap_err(), Flaw::Open { number: 2 });
    let nothing = "FILE: a\n<<<<<<< SEARCH\n\n=======\ny\n>>>>>>> REPLACE";
    assert_eq!(parse(nothing).unwrap_err(), Flaw::Nothing { number: 1 });
}

#[test]
fn text_is_matched_by_whole_lines() {
    assert_eq!(
        applied("old\nthreshold\n", &replace("old\n", "new\n")).unwrap(),
        "new\nthreshold\n"
    );
    assert!(applied("threshold\n", &replace("old\n", "new\n")).is_err());
}

#[test]
fn line_ends_stay_as_they_are() {
    assert_eq!(
        applied("a\r\nb\r\n", &replace("b\n", "c\nd\n")).unwrap(),
        "a\r\nc\r\nd\r\n"
    );
    assert_eq!(applied("a\nb", &replace("b\n", "c\n")).unwrap(), "a\nc");
    assert_eq!(applied("a\r\nb", &replace("b\n", "c\n")).unwrap(), "a\r\nc");
    let whole = Change::Whole("x\ny\n".into());
    assert_eq!(applied("a\r\nb\r\n", &whole).unwrap(), "x\r\ny\r\n");
}

#[test]
fn a_text_that_is_missing_or_doubled_is_an_error_that_helps() {
    let file = "fn total(a: u32) -> u32 {\n    a - 1\n}\n\nfn other() {}\n";
    let flaw = applied(file, &replace("    a -1\n", "    a + 1\n")).unwrap_err();
    let Flaw::Missing { nearest, .. } = &flaw else {
        panic!("{flaw:?}")
    };
    assert_eq!(nearest[0], (2, "    a - 1".to_owned()));
    assert_eq!(
        flaw.to_string(),
        "the search text of block 1 is not in `a.rs`; nearest are line 2 \"    a - 1\""
    );
    let flaw = applied("x\ny\nx\n", &replace("x\n", "z\n")).unwrap_err();
    assert!(flaw.to_string().contains("at the lines 1, 3"), "{flaw}");
    let flaw = apply(None, &replace("x\n", "z\n"), 4, "gone.rs").unwrap_err();
    assert_eq!(
        flaw.to_string(),
        "block 4 replaces text in `gone.rs`, which does not exist"
    );
}

/// Lines without markers.
fn lines(count: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    proptest::collection::vec("[ a-d(){};]{0,6}", count)
        .prop_map(|lines| lines.into_iter().map(|line| line + "\n").collect())
}

proptest! {
    /// What was read back from a printed block is the block.
    #[test]
    fn blocks_are_read_as_they_were_written(search in lines(1..4), with in lines(0..4), talk in "[a-z ]{0,20}") {
        prop_assume!(!search.trim().is_empty());
        let text = format!("{talk}\nFILE: a/b.c\n<<<<<<< SEARCH\n{search}=======\n{with}>>>>>>> REPLACE\n{talk}");
        let answer = parse(&text).unwrap();
        prop_assert_eq!(&answer.edits, &[Edit { path: "a/b.c".into(), change: replace(&search, &with) }]);
    }

    /// One place is changed, and every other byte stays.
    #[test]
    fn applying_is_exact(head in lines(0..5), tail in lines(0..5), with in lines(0..3)) {
        let file = format!("{head}<<here>>\n{tail}");
        let after = applied(&file, &replace("<<here>>\n", &with)).unwrap();
        prop_assert_eq!(after, format!("{head}{with}{tail}"));
    }

    /// A text that is there n times is changed only if n is one.
    #[test]
    fn one_place_or_none(file in lines(0..12), search in lines(1..3)) {
        let lines: Vec<&str> = file.split_inclusive('\n').collect();
        let wanted: Vec<&str> = search.split_inclusive('\n').collect();
        let count = lines.windows(wanted.len()).filter(|window| *window == wanted).count();
        match applied(&file, &replace(&search, "@\n")) {
            Ok(after) => {
                prop_assert_eq!(count, 1);
                prop_assert_eq!(after.replacen("@\n", &search, 1), file);
            }
            Err(Flaw::Missing { nearest, .. }) => {
                prop_assert_eq!(count, 0);
                for (number, text) in nearest {
                    prop_assert_eq!(lines[number - 1].trim_end_matches('\n'), text);
                }
            }
            Err(Flaw::Ambiguous { lines, .. }) => prop_assert_eq!(lines.len(), count),
            Err(other) => prop_assert!(false, "{other:?}"),
        }
    }

    /// No answer makes the parser fail in another way than by a flaw.
    #[test]
    fn any_text_is_an_answer_or_a_flaw(text in "(FILE: a\n|READ: b\n|<<<<<<< SEARCH\n|=======\n|>>>>>>> REPLACE\n|<<<<<<< WHOLE\n|>>>>>>> END\n|x\n|\\PC{0,8}){0,20}") {
        if let Ok(answer) = parse(&text) {
            prop_assert!(answer.edits.len() <= text.matches("<<<<<<<").count());
        }
    }
}
