"""The records of a shop, the readers that find them, and ShopWorld, the shop that is invented."""
