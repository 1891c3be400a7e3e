"""What `--record DIR` keeps, and nothing else ever is: sessions whose owner agreed, encrypted, for a while."""
