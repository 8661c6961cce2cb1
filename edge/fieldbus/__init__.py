"""What sources that read process values have in common, whatever bus brings them."""
