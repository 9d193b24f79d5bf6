use super::*;

fn markdown(html: &str) -> String {
    from_html(html, "https://example.org/docs/page").markdown
}

#[test]
fn headings_paragraphs_and_marks() {
    let html =
        "<h1>A  title</h1>\n<p>One <b>bold</b>, <em>em</em> and <code>x = 1</code>.</p><p>Two";
    assert_eq!(markdown(html), "# A title\n\nOne **bold**, *em* and `x = 1`.\n\nTwo");
}

#[test]
fn links_are_absolute_and_empty_ones_left_out() {
    let html =
        r##"<a href="../x?y=1">a <b>b</b></a> <a href="#top"></a><a href="javascript:x()">c</a>"##;
    assert_eq!(markdown(html), "[a **b**](https://example.org/x?y=1) c");
}

#[test]
fn lists_nest_and_count() {
    let html = "<ul><li>a<ol start=3><li><p>b</p></li><li>c</li></ol></li><li>d</li></ul>e";
    assert_eq!(markdown(html), "- a\n  3. b\n  4. c\n- d\n\ne");
}

#[test]
fn code_blocks_keep_their_lines() {
    let html = "<p>Run:</p><pre><code>a\n  b &lt; c\n</code></pre><p>Done</p>";
    assert_eq!(markdown(html), "Run:\n\n```\na\n  b < c\n```\n\nDone");
}

#[test]
fn tables_have_a_head_and_one_line_a_row() {
    let html =
        "<table><tr><th>k</th><th>v</th></tr><tr><td><p>a</p></td><td>1<br>2</td></tr></table>z";
    assert_eq!(markdown(html), "| k | v |\n| --- | --- |\n| a | 1 2 |\n\nz");
}

#[test]
fn quotes_are_marked_on_every_line() {
    let html = "a<blockquote><p>b</p><p>c</p></blockquote>d";
    assert_eq!(markdown(html), "a\n\n> b\n>\n> c\n\nd");
}

#[test]
fn scripts_styles_and_the_title_are_not_text() {
    let html =
        "<head><title> The\n page </title><style>p{}</style></head><script>if (a < b) {}</script>x";
    let page = from_html(html, "https://example.org");
    assert_eq!((page.title.as_deref(), page.markdown.as_str()), (Some("The page"), "x"));
}

#[test]
fn broken_and_hostile_pages_give_text_and_end() {
    assert_eq!(markdown("</b></ul></a></pre></tr>x<p"), "x");
    let deep = format!("{}x", "<ul><li><blockquote>".repeat(10_000));
    assert!(markdown(&deep).ends_with('x'));
}

#[test]
fn images_are_named_by_their_description() {
    let html = r#"<img src="a.png" alt="A chart"><img src="b.png"><img src="data:x" alt="no">"#;
    assert_eq!(markdown(html), "![A chart](https://example.org/docs/a.png)");
}
