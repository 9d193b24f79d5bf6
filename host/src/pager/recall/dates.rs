//! Dates that a text names: `8 May, 2023`, `May 8th`, `2023-05-08`. English month names.

use super::super::words;

/// A month that a text names, with the day and the year that stand with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Date {
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31; 0 is none.
    pub day: u8,
    /// Four digits; 0 is none.
    pub year: u16,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Words after which `may` and `march` are months and not verbs.
const BEFORE_MONTH: [&str; 15] = [
    "in", "on", "of", "during", "since", "until", "till", "by", "early", "mid", "late", "last",
    "next", "before", "after",
];
/// A text that is only dates is read up to here.
const DATES_MAX: usize = 8;

impl Date {
    /// How well a page's date fits one that a query names: 0 no, 1 the month, 2 the day too.
    pub fn fit(self, named: Self) -> u8 {
        let year = named.year == 0 || self.year == 0 || named.year == self.year;
        match self.month == named.month && year {
            true => 1 + u8::from(named.day != 0 && named.day == self.day),
            false => 0,
        }
    }
}

/// The dates of a text, in its order.
pub fn dates(text: &str) -> Vec<Date> {
    let text = &text[..text.floor_char_boundary(text.len().min(4_096))];
    let words: Vec<String> = words::words(text).collect();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let iso = || Some((number(word, 1900, 2199)?, iso_month(words.get(at + 1)?)?));
        if let Some((year, month)) = iso() {
            found.push(Date { month, day: words.get(at + 2).map_or(0, |w| day(w)), year });
        } else if let Some(month) = month(&words, at) {
            found.push(near(&words, at, month));
        }
        if found.len() == DATES_MAX {
            break;
        }
    }
    found
}

fn month(words: &[String], at: usize) -> Option<u8> {
    let word = words[at].as_str();
    let place = MONTHS.iter().position(|month| {
        *month == word || (word.len() >= 3 && word.len() <= 4 && month.starts_with(word))
    })?;
    let before = at.checked_sub(1).map(|before| words[before].as_str());
    let digits = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let numbered = before.is_some_and(digits) || words.get(at + 1).is_some_and(|word| digits(word));
    let doubtful = matches!(word, "may" | "march" | "mar" | "dec" | "sun");
    let led = before.is_some_and(|word| BEFORE_MONTH.contains(&word));
    (!doubtful || numbered || led).then(|| u8::try_from(place + 1).unwrap_or(1))
}

/// Day and year around a month's name.
fn near(words: &[String], at: usize, month: u8) -> Date {
    let before = at.checked_sub(1).map_or(0, |before| day(&words[before]));
    let after = words.get(at + 1).map_or(0, |word| day(word));
    let year = |place: usize| words.get(place).and_then(|word| number(word, 1900, 2199));
    let year = year(at + 1).or_else(|| year(at + 2)).unwrap_or(0);
    Date { month, day: if before != 0 { before } else { after }, year }
}

/// `8`, `8th`, `31st`, `08t10` as a day; 0 for anything else.
fn day(word: &str) -> u8 {
    let digits = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, suffix) = word.split_at(digits);
    let iso_time = || suffix.strip_prefix('t').is_some_and(|hour| hour.parse::<u8>().is_ok());
    match digits.parse::<u8>() {
        Ok(day @ 1..=31) if matches!(suffix, "" | "st" | "nd" | "rd" | "th") || iso_time() => day,
        _ => 0,
    }
}

fn iso_month(word: &str) -> Option<u8> {
    word.parse::<u8>().ok().filter(|month| word.len() == 2 && (1..=12).contains(month))
}

fn number(word: &str, least: u16, most: u16) -> Option<u16> {
    word.parse::<u16>().ok().filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(month: u8, day: u8, year: u16) -> Date {
        Date { month, day, year }
    }

    #[test]
    fn dates_are_read_as_people_and_machines_write_them() {
        assert_eq!(dates("1:56 pm on 8 May, 2023"), [date(5, 8, 2023)]);
        assert_eq!(
            dates("between August 11 and Aug 15th 2023"),
            [date(8, 11, 0), date(8, 15, 2023)]
        );
        assert_eq!(dates("2023-05-08T10:00:00Z"), [date(5, 8, 2023)]);
        assert_eq!(dates("in June 2022?"), [date(6, 0, 2022)]);
    }

    #[test]
    fn verbs_are_no_months() {
        assert_eq!(dates("she may march to 10 shops, mart and maybe"), []);
        assert_eq!(dates("in may"), [date(5, 0, 0)]);
    }

    #[test]
    fn a_day_fits_better_than_its_month() {
        let said = date(5, 8, 2023);
        assert_eq!(said.fit(date(5, 0, 0)), 1);
        assert_eq!(said.fit(date(5, 8, 2023)), 2);
        assert_eq!(said.fit(date(5, 8, 2022)), 0);
        assert_eq!(said.fit(date(6, 8, 0)), 0);
    }
}
