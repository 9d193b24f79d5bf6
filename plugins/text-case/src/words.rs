//! Texts and their words.

/// The words of a text: runs of letters and digits, with apostrophes inside.
pub fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The first letter of each word in upper case, the others in lower case; all else stays.
pub fn title(text: &str) -> String {
    let mut inside_word = false;
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if inside_word {
            result.extend(character.to_lowercase());
        } else {
            result.extend(character.to_uppercase());
        }
        inside_word = character.is_alphanumeric() || character == '\'';
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_no_punctuation() {
        assert_eq!(words("Don't, 'quote' me: ever!"), ["Don't", "quote", "me", "ever"]);
        assert!(words(" … ").is_empty());
    }

    #[test]
    fn title_starts_each_word_in_upper_case() {
        assert_eq!(title("don't PANIC, please"), "Don't Panic, Please");
    }
}
