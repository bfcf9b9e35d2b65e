//! The carts and their items, in a bounded memory where the original has MongoDB.
//!
//! At most [`MAX_CARTS`] carts are kept; one more drops the cart that was created longest ago. A cart holds at
//! most [`MAX_ITEMS`] items, and an id has at most 256 bytes, so the whole store stays below 60 MB.

use std::collections::{HashMap, VecDeque};

use crate::carts::item::Item;

/// The largest number of carts kept.
pub const MAX_CARTS: usize = 1000;
/// The largest number of items in one cart.
pub const MAX_ITEMS: usize = 100;

/// All carts of one process.
#[derive(Debug, Default)]
pub struct Store {
    carts: HashMap<String, Vec<Item>>,
    /// The customers of `carts`, the oldest cart first.
    ages: VecDeque<String>,
    next_id: u64,
    seed: u32,
}

/// The reason why the store did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cart has no such item.
    #[error("Cannot find item in cart")]
    NoSuchItem,
    /// The cart would hold more than [`MAX_ITEMS`] items.
    #[error("the cart is full: it holds at most {MAX_ITEMS} items")]
    CartFull,
}

impl Store {
    /// Makes an empty store; `seed` begins the ids of items, so that two processes give different ones.
    pub fn new(seed: u32) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Returns the items of a cart, creating the cart when absent.
    pub fn items(&mut self, customer: &str) -> &[Item] {
        self.cart(customer)
    }

    /// Finds an item of a cart.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoSuchItem`].
    pub fn find(&mut self, customer: &str, item_id: &str) -> Result<Item, Refusal> {
        self.cart(customer).iter().find(|item| item.item_id == item_id).cloned().ok_or(Refusal::NoSuchItem)
    }

    /// Adds an item the cart does not hold yet, and returns it with its id.
    ///
    /// # Errors
    ///
    /// [`Refusal::CartFull`].
    pub fn add(&mut self, customer: &str, item: Item) -> Result<Item, Refusal> {
        self.next_id += 1;
        let item = Item { id: Some(format!("{:08x}{:016x}", self.seed, self.next_id)), ..item };
        let cart = self.cart(customer);
        if cart.len() >= MAX_ITEMS {
            return Err(Refusal::CartFull);
        }
        cart.push(item.clone());
        Ok(item)
    }

    /// Sets the quantity of an item; everything else about it stays as it is.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoSuchItem`].
    pub fn set_quantity(&mut self, customer: &str, item_id: &str, quantity: i32) -> Result<Item, Refusal> {
        let item = self.cart(customer).iter_mut().find(|item| item.item_id == item_id).ok_or(Refusal::NoSuchItem)?;
        item.quantity = quantity;
        Ok(item.clone())
    }

    /// Takes an item out of a cart.
    ///
    /// # Errors
    ///
    /// [`Refusal::NoSuchItem`].
    pub fn remove_item(&mut self, customer: &str, item_id: &str) -> Result<(), Refusal> {
        let cart = self.cart(customer);
        let place = cart.iter().position(|item| item.item_id == item_id).ok_or(Refusal::NoSuchItem)?;
        cart.remove(place);
        Ok(())
    }

    /// Drops a cart.
    pub fn remove(&mut self, customer: &str) {
        if self.carts.remove(customer).is_some() {
            self.ages.retain(|other| other != customer);
        }
    }

    /// Appends the items of the session's cart to the customer's as they are, and drops the session's cart.
    ///
    /// Like the original it does not add up the quantities of an article that is in both.
    ///
    /// # Errors
    ///
    /// [`Refusal::CartFull`]; nothing is changed then.
    pub fn merge(&mut self, customer: &str, session: &str) -> Result<(), Refusal> {
        let moved = self.cart(session).clone();
        let cart = self.cart(customer);
        if cart.len() + moved.len() > MAX_ITEMS {
            return Err(Refusal::CartFull);
        }
        cart.extend(moved);
        self.remove(session);
        Ok(())
    }

    fn cart(&mut self, customer: &str) -> &mut Vec<Item> {
        if !self.carts.contains_key(customer) {
            while self.carts.len() >= MAX_CARTS
                && let Some(oldest) = self.ages.pop_front()
            {
                self.carts.remove(&oldest);
            }
            self.ages.push_back(customer.to_owned());
        }
        self.carts.entry(customer.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn article(id: &str) -> Item {
        Item { id: None, item_id: id.to_owned(), quantity: 1, unit_price: 1.5 }
    }

    #[test]
    fn one_cart_too_many_drops_the_oldest() {
        let mut store = Store::new(0);
        for n in 0..=MAX_CARTS {
            store.add(&n.to_string(), article("a")).unwrap();
        }
        assert_eq!((store.carts.len(), store.ages.len()), (MAX_CARTS, MAX_CARTS));
        assert!(!store.carts.contains_key("0"));
        assert_eq!(store.items("1").len(), 1);
    }

    #[test]
    fn a_removed_cart_leaves_no_trace_in_the_ages() {
        let mut store = Store::new(0);
        for _ in 0..3 {
            store.items("1");
            store.remove("1");
        }
        assert_eq!((store.carts.len(), store.ages.len()), (0, 0));
    }

    #[test]
    fn a_full_cart_takes_no_more_and_a_merge_that_does_not_fit_changes_nothing() {
        let mut store = Store::new(0);
        for n in 0..MAX_ITEMS {
            store.add("1", article(&n.to_string())).unwrap();
        }
        store.add("2", article("x")).unwrap();
        assert_eq!(store.add("1", article("x")), Err(Refusal::CartFull));
        assert_eq!(store.merge("1", "2"), Err(Refusal::CartFull));
        assert_eq!((store.items("1").len(), store.items("2").len()), (MAX_ITEMS, 1));
    }

    #[test]
    fn ids_are_24_hexadecimal_digits_and_unique() {
        let mut store = Store::new(0x5d9e_1acc);
        let first = store.add("1", article("a")).unwrap().id.unwrap();
        let second = store.add("1", article("b")).unwrap().id.unwrap();
        assert_eq!(first, "5d9e1acc0000000000000001");
        assert_ne!(first, second);
    }
}
