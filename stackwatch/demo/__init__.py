"""The demonstration: two sites in a region whose legal instrument is plainly fictional, and their story."""
