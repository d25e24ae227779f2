"""Files that hold a data set as an array or a table, one module for each format."""
