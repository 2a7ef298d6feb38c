"""What joins soloflight to other libraries. Each module needs the one that it is named after."""
