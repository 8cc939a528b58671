DROP TABLE node_numbers;
DROP TABLE slots;
DROP TABLE nodes;
