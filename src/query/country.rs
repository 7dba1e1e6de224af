//! Countries by their names.

use celes::Country;

/// What people write, beside names.
const SHORT: [(&str, &str); 3] = [("uk", "GB"), ("usa", "US"), ("uae", "AE")];

/// The two letters of the country with this name, in one word: ISO 3166-1.
pub fn of_name(name: &str) -> Option<String> {
    let name = name.to_lowercase().replace('-', "");
    if let Some((_, code)) = SHORT.iter().find(|(short, _)| *short == name) {
        return Some((*code).to_owned());
    }
    // two letters may be anything
    if name.len() < 3 {
        return None;
    }
    let found = Country::from_name(&name).or_else(|_| Country::from_alias(&name));
    found.ok().map(|country| country.alpha2.to_owned())
}
