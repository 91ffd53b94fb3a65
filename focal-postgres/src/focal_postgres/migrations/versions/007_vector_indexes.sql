INSERT INTO {schema}.embedding_spaces (id, model, dims, metric)
VALUES (1, 'default', 1536, 'cosine'), (2, 'text-embedding-3-small', 1536, 'cosine')
ON CONFLICT DO NOTHING;
