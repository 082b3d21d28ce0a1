"""A classifier on the mean of all tokens, where ``transformers`` has only ones on the first.

Sentence encoders such as all-MiniLM-L6-v2 were trained so that the mean of their tokens says what a text means; their first
token says nothing in particular before fine-tuning (Reimers and Gurevych, "Sentence-BERT", EMNLP 2019). The parameters have
names of their own: a class of ``transformers`` that would read them wrongly finds no head, and says so.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

# the key in config.json
POOLING = "emotions_pooling"
FIRST, MEAN = "first", "mean"


@cache
def mean_pooled_class() -> Any:
    """Return the class; it can't stand at the top of a module, since it needs PyTorch."""
    import torch
    from transformers import AutoModel, PreTrainedModel
    from transformers.modeling_outputs import SequenceClassifierOutput
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    class MeanPooledClassifier(PreTrainedModel):  # type: ignore[misc]
        """An encoder, dropout, and a linear layer on the mean of the last layer's tokens, padding left out."""

        base_model_prefix = "encoder"

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            accepted = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
            options = {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}
            self.encoder = AutoModel.from_config(config, **options)
            self.takes_types = "token_type_ids" in inspect.signature(self.encoder.forward).parameters
            self.dropout = torch.nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1))
            self.head = torch.nn.Linear(config.hidden_size, config.num_labels)
            self.post_init()

        def _init_weights(self, module: Any) -> None:
            if module is self.head:
                torch.nn.init.normal_(module.weight, std=getattr(self.config, "initializer_range", 0.02))
                torch.nn.init.zeros_(module.bias)

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            """Return logits (texts, labels)."""
            types = {"token_type_ids": token_type_ids} if self.takes_types else {}
            tokens = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
            weights = attention_mask.unsqueeze(-1).to(tokens.dtype)
            mean = (tokens * weights).sum(dim=1) / weights.sum(dim=1)
            return SequenceClassifierOutput(logits=self.head(self.dropout(mean)))

    return MeanPooledClassifier
