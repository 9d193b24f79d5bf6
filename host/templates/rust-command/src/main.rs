//! {{name}}: greets who its arguments name.

fn greeting(names: &[String]) -> String {
    match names {
        [] => "Hello, world!".into(),
        names => format!("Hello, {}!", names.join(" and ")),
    }
}

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    println!("{}", greeting(&names));
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_joined() {
        assert_eq!(super::greeting(&["Ada".into(), "Alan".into()]), "Hello, Ada and Alan!");
    }
}
